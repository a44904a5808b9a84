"""The pool's life: many runs at once, cancellation, a helper that dies, a machine that refuses."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest
from dify_host.sandbox import SandboxPool, SandboxRefused, SandboxSettings, SandboxUnavailable, zygote
from dify_host.sandbox.jail import seccomp
from dify_kernel.errors import CodeExecutionError

pytestmark = pytest.mark.asyncio(loop_scope="module")

SLEEP = "import time\ndef main(seconds):\n    time.sleep(seconds)\n    return seconds\n"
ECHO = "def main(n):\n    return n\n"


async def until(condition: object, seconds: float = 10.0) -> None:
    """Wait for a condition of another process, which gives no event to wait for."""
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition was never met"
        await asyncio.sleep(0.01)


def children(pool: SandboxPool) -> list[psutil.Process]:
    assert pool.helper_pid is not None
    return psutil.Process(pool.helper_pid).children(recursive=True)


async def test_twenty_runs_at_once(pool: SandboxPool) -> None:
    runs = [
        pool.execute("python3", ECHO, {"n": n})
        if n % 2
        else pool.execute("javascript", "const main = ({ n }) => n", {"n": n})
        for n in range(20)
    ]
    assert await asyncio.gather(*runs) == list(range(20))
    assert children(pool) == []


@pytest.mark.usefixtures("pool")
async def test_no_more_than_the_limit_at_once() -> None:
    pool = SandboxPool(SandboxSettings(concurrency=2))
    await pool.execute("python3", ECHO, {"n": 0})
    runs = [asyncio.create_task(pool.execute("python3", SLEEP, {"seconds": 0.2})) for _ in range(6)]
    most = 0
    while not all(run.done() for run in runs):
        most = max(most, len(children(pool)))
        await asyncio.sleep(0.01)
    await pool.close()
    assert most == 2


@pytest.mark.usefixtures("pool")
async def test_waiting_in_line_does_not_use_up_the_time() -> None:
    pool = SandboxPool(SandboxSettings(concurrency=1))
    runs = [pool.run("python3", SLEEP, b'{"seconds": 0.3}', timeout=1.0) for _ in range(5)]
    assert [run.error for run in await asyncio.gather(*runs)] == [None] * 5
    await pool.close()


async def test_cancelling_ends_the_process(pool: SandboxPool) -> None:
    run = asyncio.create_task(pool.execute("python3", SLEEP, {"seconds": 60}, timeout=60))
    await until(lambda: children(pool))
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    await until(lambda: not children(pool))
    assert await pool.execute("python3", ECHO, {"n": 1}) == 1


async def test_a_killed_helper_fails_the_run_and_is_replaced(pool: SandboxPool) -> None:
    run = asyncio.create_task(pool.execute("python3", SLEEP, {"seconds": 60}, timeout=60))
    await until(lambda: children(pool))
    orphans = children(pool)
    helper = pool.helper_pid
    assert helper is not None
    os.kill(helper, signal.SIGKILL)
    with pytest.raises(SandboxUnavailable) as caught:
        await run
    assert caught.value.retryable
    await until(lambda: not any(child.is_running() for child in orphans))
    assert await pool.execute("python3", ECHO, {"n": 1}) == 1
    assert pool.helper_pid != helper


@pytest.mark.usefixtures("pool")
async def test_a_stopped_helper_is_given_up() -> None:
    pool = SandboxPool(SandboxSettings(grace_seconds=0.5))
    await pool.execute("python3", ECHO, {"n": 1})
    assert pool.helper_pid is not None
    os.kill(pool.helper_pid, signal.SIGSTOP)
    with pytest.raises(SandboxUnavailable, match="hangs"):
        await pool.execute("python3", ECHO, {"n": 1}, timeout=0.2)
    assert await pool.execute("python3", ECHO, {"n": 2}) == 2
    await pool.close()


@pytest.mark.usefixtures("pool")
async def test_the_helper_starts_late_and_ends_when_idle() -> None:
    pool = SandboxPool(SandboxSettings(idle_seconds=0.05))
    await pool.start()
    assert pool.helper_pid is None
    assert await pool.execute("python3", ECHO, {"n": 1}) == 1
    await until(lambda: pool.helper_pid is None)
    assert await pool.execute("python3", ECHO, {"n": 2}) == 2
    await pool.close()


@pytest.mark.usefixtures("pool")
async def test_closing_ends_everything() -> None:
    pool = SandboxPool()
    run = asyncio.create_task(pool.execute("python3", SLEEP, {"seconds": 60}, timeout=60))
    await until(lambda: pool.helper_pid is not None and children(pool))
    helper = psutil.Process(pool.helper_pid)
    await pool.close()
    await pool.close()
    with pytest.raises(SandboxUnavailable):
        await run
    assert not helper.is_running()
    with pytest.raises(SandboxUnavailable, match="closed"):
        await pool.execute("python3", ECHO, {"n": 1})


async def test_the_helper_ends_with_its_host(tmp_path: Path) -> None:
    program = """
import asyncio, os, signal
from dify_host.sandbox import SandboxPool
async def main():
    pool = SandboxPool()
    await pool.probe()
    print(pool.helper_pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
    host = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    assert host.stdout is not None
    helper = int(await host.stdout.readline() or b"0")
    assert psutil.pid_exists(helper)
    host.kill()
    await host.wait()
    await until(lambda: not psutil.pid_exists(helper) or psutil.Process(helper).status() == psutil.STATUS_ZOMBIE)


async def test_no_descriptor_is_lost(pool: SandboxPool) -> None:
    before = psutil.Process().num_fds()
    for code in (ECHO, "def main(n):\n    return {n}\n", "nonsense ("):
        await pool.run("python3", code, b'{"n": 1}', timeout=10)
    await pool.run("python3", SLEEP, b'{"seconds": 9}', timeout=0.05)
    assert psutil.Process().num_fds() == before
    assert psutil.Process(pool.helper_pid).num_fds() <= 8


async def test_the_helper_is_small(pool: SandboxPool) -> None:
    await asyncio.gather(*(pool.execute("python3", ECHO, {"n": n}) for n in range(20)))
    assert psutil.Process(pool.helper_pid).memory_info().rss < 14 << 20


async def test_unknown_language_and_limits_out_of_range(pool: SandboxPool) -> None:
    with pytest.raises(CodeExecutionError, match="python3, javascript"):
        await pool.execute("ruby", "", {})
    for timeout in (0, -1, float("nan"), float("inf")):
        with pytest.raises(CodeExecutionError, match="out of range"):
            await pool.execute("python3", ECHO, {"n": 1}, timeout=timeout)
    with pytest.raises(CodeExecutionError, match="not JSON"):
        await pool.execute("python3", ECHO, {"n": object()})


@pytest.mark.usefixtures("pool")
async def test_inputs_over_the_limit() -> None:
    pool = SandboxPool(SandboxSettings(input_limit=1000))
    with pytest.raises(CodeExecutionError, match="over 1000 bytes"):
        await pool.execute("python3", ECHO, {"n": "x" * 1000})
    assert pool.helper_pid is None


async def test_a_machine_that_refuses_runs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No jail, no code: the helper is made to start without the right to a user namespace."""
    # The same door closed from inside: a limit of zero namespaces for the helper and what it starts.
    monkeypatch.setattr(zygote, "_BOOT", _WITHOUT_NAMESPACES + zygote._BOOT)
    pool = SandboxPool()
    report = await pool.probe()
    assert report.level == "none"
    assert "unshare" in report.reasons[0]
    with pytest.raises(SandboxRefused, match="cannot be isolated") as caught:
        await pool.execute("python3", ECHO, {"n": 1})
    assert not caught.value.retryable
    assert "remote code sandbox" in caught.value.hint
    assert pool.helper_pid is None
    await pool.close()


# Refuses unshare and clone with new namespaces in the helper, as the default profile of a container engine does.
_WITHOUT_NAMESPACES = f"""
import sys
sys.path.append({str(Path(seccomp.__file__).parents[1])!r})
from jail import seccomp
from jail.syscalls import machine
import struct
everything = seccomp.assemble(machine())[:-16] + struct.pack("<HBBIHBBI", 6, 0, 0, 0x7FFF0000, 6, 0, 0, 0x7FFF0000)
deny = {{"x86_64": 272, "aarch64": 97}}[machine()]
load = everything[24:32]
refuse = struct.pack("<HBBIHBBI", 0x15, 0, 1, deny, 6, 0, 0, 0x00050001)
seccomp.install(everything[:24] + load + refuse + everything[-8:])
"""
