"""A child is bounded: whatever its work does, the caller gets bytes or an error that says what happened."""

import asyncio
import os
import signal
import subprocess
import sys

import psutil
import pytest
from dify_kernel import fork_server
from dify_kernel.child import ChildFailed, ChildLimits, Children
from dify_kernel.errors import TooLarge

WORK = """
import os, socket, sys
sys.path.insert(0, {path!r})
from dify_kernel.child import serve

def answer(data, arguments):
    match arguments[0]:
        case "echo":
            print("a library says hello")
            os.write(1, b"so does one in C")
            return data + ",".join(arguments[1:]).encode()
        case "connect" | "spin":
            held = socket.create_connection(("127.0.0.1", int(arguments[1]))) if arguments[1:] else None
            while True:
                pass
        case "eat":
            return bytes(int(arguments[1]))
        case "die":
            os.kill(os.getpid(), 9)
        case "write":
            with open(arguments[1], "wb") as file:
                file.write(b"x")
        case "environment":
            return repr(dict(os.environ)).encode()

if __name__ == "__main__":
    serve(answer)
"""


@pytest.fixture(params=[False, True], ids=["cold", "warm"])
def run(request, tmp_path, monkeypatch):
    """Runs the work above under given limits, in a process that starts for it or is forked."""
    warm, module = request.param, f"work{id(tmp_path)}"
    script = tmp_path / "work.py"
    script.write_text(WORK.format(path=sys.path[0]))
    spawn = asyncio.create_subprocess_exec

    async def by_path(program, *arguments, **options):
        place = arguments.index("-m")
        return await spawn(program, *arguments[:place], str(script), *arguments[place + 2 :], **options)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", by_path)
    popen = subprocess.Popen

    def server(command, **options):
        return popen([str(script) if item == module else item for item in command if item != "-m"], **options)

    monkeypatch.setattr(fork_server.subprocess, "Popen", server if warm else popen)

    async def run(*arguments, data=b"", **limits):
        return await Children(ChildLimits(**limits), warm=warm).run(module, arguments, data)

    yield run
    fork_server.fork_server(module).close()


async def test_it_answers(run):
    assert await run("echo", "a", "b", data=b"\x00data ") == b"\x00data a,b"


async def test_a_large_input_does_not_block(run):
    assert await run("echo", data=b"x" * 5_000_000) == b"x" * 5_000_000


async def test_it_inherits_no_environment(run, monkeypatch):
    monkeypatch.setenv("A_SECRET", "hidden")
    assert b"hidden" not in await run("environment")


async def test_late_work_is_killed(run):
    with pytest.raises(ChildFailed, match=r"more than 1 s|exit code"):
        await run("spin", seconds=1)


async def test_memory_is_bounded(run):
    with pytest.raises(ChildFailed, match="more memory than 256 MB"):
        await run("eat", str(2**30), max_memory=2**28)


async def test_output_is_bounded(run):
    with pytest.raises(TooLarge, match="more than 1000 bytes"):
        await run("eat", "100000", max_output=1000)


async def test_a_crash_is_told(run):
    with pytest.raises(ChildFailed, match=r"exit code -9"):
        await run("die", data=b"x" * 1_000_000)


async def test_it_cannot_write_files(run, tmp_path):
    with pytest.raises(ChildFailed):
        await run("write", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists() or (tmp_path / "out").stat().st_size == 0


async def test_cancelling_kills_the_process(run):
    begun, ended = asyncio.Event(), asyncio.Event()

    async def watch(reader, writer):
        begun.set()
        await reader.read()
        ended.set()
        writer.close()

    async with await asyncio.start_server(watch, "127.0.0.1") as server:
        task = asyncio.create_task(run("connect", str(server.sockets[0].getsockname()[1])))
        async with asyncio.timeout(20):
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await ended.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every job has a process that is started for it")
class TestWarm:
    """What is particular to a process that is kept."""

    @pytest.fixture
    def run(self, tmp_path):
        """Runs the reader of text that this package ships with itself: `echo` of a module that any process can load."""
        yield Children(ChildLimits(), warm=True)
        fork_server.fork_server("dify_kernel.testing.echo").close()

    async def server(self, children):
        await children.run("dify_kernel.testing.echo", [], b"")
        (found,) = (
            each
            for each in psutil.Process().children()
            if each.status() != psutil.STATUS_ZOMBIE and "dify_kernel.testing.echo" in each.cmdline()
        )
        return found

    async def test_jobs_share_the_server_and_not_their_process(self, run):
        server = await self.server(run)
        first, second = [await run.run("dify_kernel.testing.echo", ["pid"], b"") for _ in range(2)]
        assert first != second
        assert (await self.server(run)).pid == server.pid
        assert server.children() == []

    @pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
    async def test_a_server_that_is_gone_is_started_again(self, run, how):
        server = await self.server(run)
        os.kill(server.pid, how)
        server.wait()
        assert await run.run("dify_kernel.testing.echo", [], b"again") == b"again"

    async def test_a_job_whose_server_is_killed_says_so(self, run):
        server = await self.server(run)
        task = asyncio.create_task(run.run("dify_kernel.testing.echo", ["wait"], b""))
        while not (children := server.children()):
            await asyncio.sleep(0)
        server.kill()
        children[0].kill()
        with pytest.raises(ChildFailed, match="that starts its process"):
            await task

    async def test_many_at_once(self, run):
        jobs = [run.run("dify_kernel.testing.echo", [], b"%d" % n * 100_000) for n in range(20)]
        assert await asyncio.gather(*jobs) == [b"%d" % n * 100_000 for n in range(20)]
