"""What `dify up` of the default bundle costs a laptop: CPU until the first answer, and memory when nothing happens."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from .figures import command_cpu, environment, show, tree, tree_cpu
from .server import await_answer, free_port

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]

MAX_CPU, MAX_MB = 3.0, 260.0
STARTS, SETTLE = 3, 8.0
#: What the two processes cannot do without, whatever we write around it: the floor of a start.
FRAMEWORKS = {
    "api": "import asyncio, uvicorn, litestar, sqlalchemy, sqlalchemy.ext.asyncio, redis.asyncio, httpcore",
    "worker": "import asyncio, dramatiq, sqlalchemy, sqlalchemy.ext.asyncio, redis.asyncio, httpcore",
}


@contextmanager
def running_up(bundle: Path, data: Path) -> Iterator[tuple[psutil.Process, float]]:
    """`dify up` on a folder; yields its process and the CPU seconds of the tree at the first 200 of `/health`."""
    port = free_port()
    command = [str(bundle / "bin" / "dify"), "up", "--data", str(data), "--port", str(port), "--json"]
    env = environment(LOG_LEVEL="warning")
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            await_answer(f"http://127.0.0.1:{port}/health", process)
            parent = psutil.Process(process.pid)
            yield parent, tree_cpu(parent)
        finally:
            process.terminate()
            process.wait(60)


def name_of(process: psutil.Process) -> str:
    """What a process of the tree is."""
    words = process.cmdline()
    return next((word for word in ("up", "api", "worker") if word in words), Path(words[0]).name if words else "?")


def test_the_start(bundle: Path, tmp_path: Path) -> None:
    floor = sum(command_cpu([str(bundle / "bin" / "python"), "-c", code]) for code in FRAMEWORKS.values())
    figures = []
    with running_up(bundle, tmp_path / "warm"):
        pass
    for _ in range(STARTS):
        with running_up(bundle, tmp_path / "warm") as (_, seconds):
            figures.append(seconds)
    with running_up(bundle, tmp_path / "fresh") as (_, fresh):
        pass
    rows = [("importing the frameworks alone (floor)", f"{floor:.2f}", "1.0")]
    rows += [(f"start {at}", f"{each:.2f}", f"{each / floor:.1f}") for at, each in enumerate(figures, 1)]
    rows += [
        ("first start, makes the database", f"{fresh:.2f}", f"{fresh / floor:.1f}"),
        ("budget", f"{MAX_CPU:g}", ""),
    ]
    show("`dify up` to the first 200 of /health, the whole process tree", ("", "CPU s", "of floor"), rows)
    best = min(figures)
    assert best < MAX_CPU, (
        f"`dify up` takes {best:.2f} s of CPU to its first answer, {best / floor:.1f} times the floor"
    )


def test_memory_when_idle(bundle: Path, tmp_path: Path) -> None:
    with running_up(bundle, tmp_path) as (parent, _):
        time.sleep(SETTLE)  # what is measured is doing nothing for a while
        each = [(name_of(process), process.memory_full_info()) for process in tree(parent)]
    total = sum(info.rss for _, info in each) / 1e6
    show(
        "`dify up` when idle",
        ("", "RSS MB", "of it private, MB"),
        [(name, f"{info.rss / 1e6:.1f}", f"{info.uss / 1e6:.1f}") for name, info in each]
        + [("total", f"{total:.1f}", ""), ("budget", f"{MAX_MB:g}", "")],
    )
    assert total < MAX_MB, f"the idle tree holds {total:.1f} MB"
