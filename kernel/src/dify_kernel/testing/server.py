"""Runs a real server for tests: on free ports of loopback, until it answers, and its whole group killed in the end.

    @pytest.fixture(scope="session")
    def server(tmp_path_factory):
        with Server(
            lambda it: [program("redis-server"), "--port", str(it.port), "--dir", str(it.folder)],
            folder=tmp_path_factory.mktemp("redis"),
        ) as server:
            yield server

In the class of the suite, `restart` is then `server.restart`.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import pytest

__all__ = ["Server", "free_ports", "program"]


def program(name: str) -> str:
    """The path of a program beside this Python or on PATH; skips the test when there is none."""
    found = shutil.which(name, path=os.pathsep.join((os.path.dirname(sys.executable), os.environ.get("PATH", ""))))
    if found is None:
        pytest.skip(f"the program {name} is not installed")
    return found


def free_ports(count: int, *, twin: int = 0) -> list[int]:
    """Ports of 127.0.0.1 that are free now, each with the port `twin` above it where a server takes that one, too."""
    found: list[int] = []
    while len(found) < count:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = 20_000 + probe.getsockname()[1] % 20_000
        with socket.socket() as first, socket.socket() as second, contextlib.suppress(OSError):
            first.bind(("127.0.0.1", port))
            second.bind(("127.0.0.1", port + twin if twin else 0))
            if port not in found:
                found.append(port)
    return found


class Server:
    """One server process and all it starts. Use it as a context manager, in a fixture of the session.

    `command` gives the arguments from `port`, `ports` and `folder`; bind to 127.0.0.1 alone. `ready` is asked until it
    raises nothing; without it the first port has to accept a connection. What the server prints is in `folder/log`.
    """

    def __init__(
        self,
        command: Callable[[Server], Sequence[str]],
        *,
        folder: Path,
        ports: int = 1,
        twin: int = 0,
        ready: Callable[[Server], object] | None = None,
        env: Mapping[str, str] | None = None,
        seconds: float = 90.0,
    ) -> None:
        self.folder = folder
        self.ports = free_ports(ports, twin=twin)
        self._command = command
        self._ready = ready or Server.connect
        self._env = {**os.environ, **env} if env else None
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The first port."""
        return self.ports[0]

    def connect(self) -> None:
        """Open and close a connection to the first port; OSError while nothing listens."""
        socket.create_connection(("127.0.0.1", self.port), timeout=5).close()

    def start(self) -> None:
        """Start it and wait until it answers; AssertionError with the end of its log when it does not."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                list(self._command(self)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=self._env,
                start_new_session=True,
            )
        atexit.register(self.stop)
        deadline = time.monotonic() + self._seconds
        while True:
            try:
                self._ready(self)
                return
            except Exception as exc:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    message = f"the server does not answer ({exc}); its log ends with\n{self._tail()}"
                    raise AssertionError(message) from exc
            time.sleep(0.05)

    def stop(self, *, seconds: float = 10.0) -> None:
        """End the process and all it started: asked first, killed after `seconds`. Stopping twice is harmless."""
        process, self._process = self._process, None
        atexit.unregister(self.stop)
        if process is None:
            return
        self._signal(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)  # then killed below, with what it left behind
        self._signal(process, signal.SIGKILL)
        process.wait(20)

    async def restart(self) -> None:
        """Stop it and start it again on the same ports and folder, while the event loop goes on."""
        await asyncio.to_thread(self.stop)
        await asyncio.to_thread(self.start)

    def _signal(self, process: subprocess.Popen[bytes], number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)

    def _tail(self) -> str:
        return (self.folder / "log").read_text("utf-8", "replace")[-2000:]
