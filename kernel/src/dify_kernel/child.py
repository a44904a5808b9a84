"""Work that may harm its process, done in one of its own: bounded in memory, time and output, and killed when late.

Parsers of documents are large and meet hostile input, and a thread cannot be stopped. The process has an empty
environment, cannot write a file, and answers in bytes: unlike the pickles of a process pool, they cannot run code here.

`Children.run("my_plugin.reader", ["pdf"], data)` runs `python -m my_plugin.reader`, whose last lines are

    if __name__ == "__main__":
        serve(answer)  # answer(data, arguments) -> bytes
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Sequence

import msgspec

from dify_kernel.errors import DifyError, TooLarge

__all__ = ["ChildFailed", "ChildLimits", "Children", "serve"]

_MIB = 1024 * 1024
#: The exit code of a process that could not even say that its memory was not enough.
_NO_MEMORY = 77


class ChildFailed(DifyError):
    """The process did not answer: it took too long, needed too much memory, or its work crashed it."""

    code = "child_failed"


class ChildLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one process: bytes of memory and of its answer, seconds; and how many run at once."""

    max_memory: int = 1024 * _MIB
    max_output: int = 128 * _MIB
    seconds: int = 120
    parallel: int = 2


class Children:
    """Runs modules in processes of their own, at most `parallel` at once; share one for what it bounds."""

    def __init__(self, limits: ChildLimits | None = None) -> None:
        self.limits = limits or ChildLimits()
        self._slots = asyncio.Semaphore(self.limits.parallel)

    async def run(self, module: str, arguments: Sequence[str], data: bytes) -> bytes:
        """The answer of a module that calls `serve`. Raises ChildFailed or TooLarge; cancelling kills the process."""
        async with self._slots:
            return await self._run(module, arguments, data)

    async def _run(self, module: str, arguments: Sequence[str], data: bytes) -> bytes:
        limits = self.limits
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-m", module, str(limits.max_memory), str(limits.seconds), *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={},
            cwd="/",
        )
        try:
            async with asyncio.timeout(limits.seconds):
                _, output = await asyncio.gather(_feed(process, data), _collect(process, limits.max_output))
                await process.wait()
        except TimeoutError as exc:
            raise ChildFailed(f"It took more than {limits.seconds} s.", module=module) from exc
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await asyncio.shield(process.wait())
        if process.returncode == _NO_MEMORY:
            raise ChildFailed(f"It needed more memory than {limits.max_memory // _MIB} MB.", module=module)
        if process.returncode:
            raise ChildFailed(
                f"Its process failed (exit code {process.returncode}).",
                hint="The input may be damaged, or need more memory or time than allowed.",
                module=module,
            )
        return output


def serve(answer: Callable[[bytes, Sequence[str]], bytes]) -> None:
    """In the process: lower the limits before a byte is looked at, then answer standard input on standard output.

    What the work prints goes to standard error, whichever language prints it.
    """
    memory, seconds, *arguments = sys.argv[1:]
    _limit(int(memory), int(seconds))
    try:
        with os.fdopen(os.dup(1), "wb") as out:
            os.dup2(2, 1)
            out.write(answer(sys.stdin.buffer.read(), arguments))
    except MemoryError:
        os._exit(_NO_MEMORY)


def _limit(memory: int, seconds: int) -> None:
    try:
        import resource
    except ImportError:  # no such limits on this system; the parent's deadline remains
        return
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


async def _feed(process: asyncio.subprocess.Process, data: bytes) -> None:
    """Write the input; a process that has died tells by its exit code."""
    stdin = process.stdin
    assert stdin is not None
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        stdin.write(data)
        await stdin.drain()
    stdin.close()


async def _collect(process: asyncio.subprocess.Process, limit: int) -> bytes:
    """Read the answer, and no more than the limit."""
    stdout = process.stdout
    assert stdout is not None
    pieces, size = [], 0
    while piece := await stdout.read(_MIB):
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            raise TooLarge(f"The answer has more than {limit} bytes.", hint="Split the input into smaller files.")
    return b"".join(pieces)
