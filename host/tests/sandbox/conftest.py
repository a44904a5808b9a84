"""A sandbox pool for each test module, and a plain interpreter that shows what the same code can do without a jail."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

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


def _machine_allows_namespaces() -> bool:
    """Ask the kernel without the sandbox, so that a broken sandbox is not taken for a machine that refuses."""
    user, mounts, recursive_private = 0x10000000, 0x00020000, 0x44000
    program = (
        "import ctypes, sys; libc = ctypes.CDLL(None); "
        f"sys.exit(libc.unshare({user | mounts}) or libc.mount(None, b'/', None, {recursive_private}, None))"
    )
    return subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
