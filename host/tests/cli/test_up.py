"""`dify up` in real processes: answers, heals what is killed, stops clean, and leaves nobody behind."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest


class Platform:
    """A running `dify up`."""

    def __init__(self, data: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [sys.executable, "-m", "dify_host.cli.main", "up", "--data", str(data), "--port", str(self.port)]
        self.process = subprocess.Popen(
            [*command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.lines: list[str] = []
        self.ready = self.read_until('{"url"')

    def read_until(self, start: str) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if line.startswith(start):
                found: dict[str, Any] = json.loads(line)
                return found
        raise AssertionError("".join(self.lines))

    def below(self, word: str) -> psutil.Process | None:
        for child in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.Error):
                if word in " ".join(child.cmdline()):
                    return child
        return None

    def tree(self) -> list[psutil.Process]:
        top = psutil.Process(self.process.pid)
        return [top, *top.children(recursive=True)]

    def health(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def wait_for(happened: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def ended(processes: list[psutil.Process]) -> bool:
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    for name in ("DATABASE_URL", "DB_TYPE", "REDIS_HOST", "STORAGE_TYPE", "VECTOR_STORE", "SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    running = Platform(tmp_path / "data")
    yield running
    running.process.kill()
    running.process.communicate()


@pytest.mark.timeout(240)
def test_up_answers_heals_and_stops_clean(platform: Platform, tmp_path: Path) -> None:
    assert platform.health()
    key = tmp_path / "data" / "secret_key"
    assert key.stat().st_mode & 0o777 == 0o600
    processes = platform.tree()
    print(f"RSS of the tree: {sum(p.memory_info().rss for p in processes) / 1e6:.0f} MB")

    worker, api = platform.below("worker"), platform.below("api")
    assert worker is not None
    assert api is not None
    api.kill()
    wait_for(lambda: (found := platform.below("main api")) is not None and found.pid != api.pid)
    wait_for(platform.health)

    processes = platform.tree()
    platform.process.send_signal(signal.SIGINT)
    out, _ = platform.process.communicate(timeout=60)
    assert platform.process.returncode == 0
    assert json.loads(out.splitlines()[-1]) == {"stopped": "up"}
    wait_for(lambda: ended(processes), 20)


@pytest.mark.timeout(240)
def test_a_killed_supervisor_leaves_nobody_behind(platform: Platform) -> None:
    processes = platform.tree()
    assert len(processes) >= 4
    platform.process.kill()
    wait_for(lambda: ended(processes))
