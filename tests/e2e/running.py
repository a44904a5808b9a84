"""Real processes of the platform: its commands, servers that are waited for, and HTTP requests to them."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

__all__ = ["ROOT", "Done", "Place", "Running", "events", "free_port", "wait_for"]

ROOT = Path(__file__).parents[2]
PATIENCE = 90.0
_OURS = ("DIFY_", "DB_", "REDIS_", "SSRF_", "PYTEST_")
_ALSO = ("DATABASE_URL", "STORAGE_TYPE", "VECTOR_STORE", "SECRET_KEY", "MODE", "PYTHONDONTWRITEBYTECODE")


class Done:
    """What a command left: its status, its lines, and the JSON object that is the last one."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.status, self.out, self.err = done.returncode, done.stdout, done.stderr

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def result(self) -> dict[str, Any]:
        last = json.loads(self.out.splitlines()[-1])
        assert isinstance(last, dict), self.out
        return last


class Place:
    """An environment of the platform and a folder without a `.env` to call it from."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.data = folder / "data"
        dropped = {name for name in os.environ if name.startswith(_OURS) or name in _ALSO}
        kept = {name: value for name, value in os.environ.items() if name not in dropped}
        # Bytecode is kept, as in an installation, but not in the checkout.
        cache = str(ROOT / ".pytest_cache" / "bytecode")
        self.env = {**kept, "PYTHONPYCACHEPREFIX": cache, "DIFY_DATA": str(self.data), "LOG_LEVEL": "warning"}
        self.env |= settings
        self.seconds = 120.0  # until a command is given up

    def call(self, *words: str, **settings: str) -> Done:
        """Run a command to its end, whatever that is."""
        command = [sys.executable, "-m", "dify_host.cli.main", *words]
        env = {**self.env, **settings}
        return Done(
            subprocess.run(
                command, cwd=self.folder, env=env, capture_output=True, text=True, timeout=self.seconds, check=False
            )
        )

    def dify(self, *words: str) -> dict[str, Any]:
        """Run a command with `--json`, which must succeed; returns its last line."""
        done = self.call(*words, "--json")
        assert done.status == 0, (words, done.out, done.err)
        return done.result

    def refused(self, *words: str) -> dict[str, Any]:
        """Run a command with `--json`, which must fail with status 1; returns the code and the message."""
        done = self.call(*words, "--json")
        assert done.status == 1, (words, done.out, done.err)
        assert set(done.result) >= {"code", "message"}, done.out
        return done.result

    @contextmanager
    def running(self, *words: str, port: int = 0, **settings: str) -> Iterator[Running]:
        """A process of the platform in the background; stopped at the end, which it must survive with status 0."""
        process = Running(self, words, port, settings)
        try:
            yield process
            if process.alive:
                assert process.stop() == 0, process.log()
        finally:
            process.kill()


class Running:
    """One server process; what it prints goes to a file."""

    def __init__(self, place: Place, words: tuple[str, ...], port: int, settings: dict[str, str]) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._log = place.folder / f"{'-'.join(words[:1])}-{time.monotonic_ns()}.log"
        env = {**place.env, **settings} | ({"DIFY_PORT": str(port)} if port else {})
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "dify_host.cli.main", *words], cwd=place.folder, env=env, stdout=log, stderr=log
            )

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def log(self) -> str:
        """The end of what it printed."""
        return self._log.read_text("utf-8", "replace")[-6000:]

    def healthy(self) -> Running:
        """Wait for the first 200 of /health."""

        def answers() -> bool:
            assert self.alive, self.log()
            try:
                return httpx.get(f"{self.url}/health", timeout=5).status_code == 200
            except httpx.HTTPError:
                return False

        wait_for(answers)
        return self

    def says(self, text: str) -> Running:
        """Wait until it has printed a text."""

        def said() -> bool:
            assert self.alive, self.log()
            return text in self.log()

        wait_for(said)
        return self

    def client(self, key: str = "") -> httpx.Client:
        """A client of its API, with a key."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False)

    def stop(self) -> int:
        """Ask it to stop; returns its status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def kill(self) -> None:
        """End it at once, as a machine that loses power does; its own children end with it."""
        if self.alive:
            self.process.kill()
        self.process.wait(60)


def events(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """The JSON events of a stream as they come."""
    for line in lines:
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


def wait_for(happened: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Ask again and again until something is so; fails when it takes too long."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "It did not happen in time."
        time.sleep(0.05)


def free_port() -> int:
    """A port that nobody listens on, below those that systems give to outgoing connections.

    So a server that is started again finds it free: no connection of somebody else took it meanwhile.
    """
    while True:
        port = random.randint(15000, 30000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
