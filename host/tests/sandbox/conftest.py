"""A sandbox pool for each test module, and a plain interpreter that shows what the same code can do without a jail."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import psutil
import pytest
import pytest_asyncio
from dify_host.sandbox import SandboxPool, SandboxSettings

Outside = Callable[..., Any]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool() -> AsyncIterator[SandboxPool]:
    """A pool that runs four programs at a time; skips, with the reasons, where this machine refuses the jail."""
    sandbox = SandboxPool(SandboxSettings(concurrency=4))
    report = await sandbox.probe()
    if report.level != "full" and not _machine_allows_namespaces():
        pytest.skip(f"no code sandbox on this machine: {'; '.join(report.reasons)}")
    assert report.level == "full", report.reasons
    yield sandbox
    await sandbox.close()


@pytest.fixture
def outside() -> Outside:
    """Run the code's `main` with keyword arguments in a plain child interpreter and return its value."""

    def run(code: str, *, seconds: float = 20.0, **inputs: Any) -> Any:
        program = f"{code}\nimport json, sys\nprint(json.dumps(main(**json.loads(sys.argv[1]))))"
        done = subprocess.run(
            [sys.executable, "-c", program, json.dumps(inputs)],
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


# What the run after an attack sees of its world; a run that nobody came before sees the same.
_FRESH_PYTHON = """
import builtins, json, os, signal, sys
def main():
    return {
        "value": json.loads(json.dumps({"sum": sum([1, 2]), "text": str(open)})),
        "odd": [name for name in ("mark", "escaped") if hasattr(builtins, name) or hasattr(json, name)],
        "scratch": os.listdir("/tmp"),
        "folder": os.getcwd(),
        "environment": dict(os.environ),
        "pids": [os.getpid(), os.getppid()],
        "descriptors": [fd for fd in range(64) if _open(fd)],
        "timer": list(signal.getitimer(signal.ITIMER_REAL)),
        "handlers": [int(number) for number in signal.valid_signals() if callable(signal.getsignal(number))],
        "recursion": sys.getrecursionlimit(),
    }
def _open(fd):
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
"""
_FRESH_JAVASCRIPT = """
function main() {
  const odd = [];
  for (const key in {}) odd.push(key);
  for (const key in []) odd.push(key);
  return { odd, mark: typeof globalThis.mark, value: JSON.parse(JSON.stringify([1, 2].map((x) => x + 1))) };
}
"""


@pytest_asyncio.fixture(loop_scope="module")
async def unharmed(pool: SandboxPool) -> AsyncIterator[None]:
    """After the test: the same helper, no process left over, and next runs that find their world as new."""
    before = await _world(pool)
    helper = pool.helper_pid
    yield
    async with asyncio.timeout(10):
        while psutil.Process(helper).children(recursive=True):
            await asyncio.sleep(0.01)
    assert await _world(pool) == before
    assert pool.helper_pid == helper
    assert psutil.Process(helper).num_fds() <= 8


async def _world(pool: SandboxPool) -> tuple[Any, Any]:
    python = await pool.execute("python3", _FRESH_PYTHON, {})
    assert (python["odd"], python["scratch"], python["environment"]) == ([], [], {})
    assert python["descriptors"] == [0, 1, 2, 3]
    javascript = await pool.execute("javascript", _FRESH_JAVASCRIPT, {})
    assert javascript == {"odd": [], "mark": "undefined", "value": [2, 3]}
    return python, javascript


def _machine_allows_namespaces() -> bool:
    """Ask the kernel without the sandbox, so that a broken sandbox is not taken for a machine that refuses."""
    user, mounts, recursive_private = 0x10000000, 0x00020000, 0x44000
    program = (
        "import ctypes, sys; libc = ctypes.CDLL(None); "
        f"sys.exit(libc.unshare({user | mounts}) or libc.mount(None, b'/', None, {recursive_private}, None))"
    )
    return subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
