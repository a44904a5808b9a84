"""Work that may harm its process, done in one of its own: bounded in memory, time and output, and killed when late.

Parsers of documents are large and meet hostile input, and a thread cannot be stopped. The process has an empty
environment, cannot write a file, and answers in bytes: unlike the pickles of a process pool, they cannot run code here.

`Children.run("my_plugin.reader", ["pdf"], data)` runs `python -m my_plugin.reader`, whose last lines are

    if __name__ == "__main__":
        serve(answer)  # answer(data, arguments) -> bytes

Where loading the module takes long, `Children(limits, warm=True)` keeps it loaded (`dify_kernel.fork_server`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence

import msgspec

from dify_kernel.errors import DifyError, TooLarge
from dify_kernel.fork_server import FORK_SERVER, Request, exit_code, fork_server, serve_forks

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
    """Runs modules in processes of their own, at most `parallel` at once; share one for what it bounds.

    `warm` keeps modules loaded between the jobs where the system can fork safely (Linux).
    """

    def __init__(self, limits: ChildLimits | None = None, *, warm: bool = False) -> None:
        self.limits = limits or ChildLimits()
        self._warm = warm and sys.platform == "linux"
        self._slots = asyncio.Semaphore(self.limits.parallel)

    async def run(self, module: str, arguments: Sequence[str], data: bytes) -> bytes:
        """The answer of a module that calls `serve`. Raises ChildFailed or TooLarge; cancelling kills the process."""
        async with self._slots:
            if self._warm:
                code, output = await self._fork(module, arguments, data)
            else:
                code, output = await self._spawn(module, arguments, data)
        limits = self.limits
        if code == _NO_MEMORY:
            raise ChildFailed(f"It needed more memory than {limits.max_memory // _MIB} MB.", module=module)
        if code:
            raise ChildFailed(
                f"Its process failed (exit code {code}).",
                hint="The input may be damaged, or need more memory or time than allowed.",
                module=module,
            )
        return output

    async def _fork(self, module: str, arguments: Sequence[str], data: bytes) -> tuple[int, bytes]:
        request = Request(self.limits.max_memory, self.limits.seconds, list(arguments))
        for _ in range(2):
            bytes_socket, life = fork_server(module).begin(request)
            with life:
                status, output = await self._converse(bytes_socket, life, module, data)
            if status:
                return exit_code(status), output
            if not fork_server(module).has_ended():
                break
        raise ChildFailed("The process that starts its process failed.", hint="Try again.", module=module)

    async def _converse(
        self, bytes_socket: socket.socket, life: socket.socket, module: str, data: bytes
    ) -> tuple[bytes, bytes]:
        """Give the input and take the answer; the status is empty when there is no server any more."""
        loop = asyncio.get_running_loop()
        status = writer = None
        try:
            async with self._in_time(module):
                reader, writer = await asyncio.open_unix_connection(sock=bytes_socket)
                _, output = await asyncio.gather(_feed(writer, data), _collect(reader, self.limits.max_output))
                status = await loop.sock_recv(life, 8)
        finally:
            (writer or bytes_socket).close()
            if status is None:
                with contextlib.suppress(OSError):
                    life.shutdown(socket.SHUT_WR)
                await asyncio.shield(loop.sock_recv(life, 8))
        return status, output

    @contextlib.asynccontextmanager
    async def _in_time(self, module: str) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self.limits.seconds):
                yield
        except TimeoutError as exc:
            raise ChildFailed(f"It took more than {self.limits.seconds} s.", module=module) from exc

    async def _spawn(self, module: str, arguments: Sequence[str], data: bytes) -> tuple[int, bytes]:
        limits = self.limits
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-m", module, str(limits.max_memory), str(limits.seconds), *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={},
            cwd="/",
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            async with self._in_time(module):
                talk = _feed(process.stdin, data), _collect(process.stdout, limits.max_output)
                _, output = await asyncio.gather(*talk)
                code = await process.wait()
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await asyncio.shield(process.wait())
        return code, output


def serve(answer: Callable[[bytes, Sequence[str]], bytes], preload: Sequence[str] = ()) -> None:
    """In the process: lower the limits before a byte is looked at, then answer standard input on standard output.

    What the work prints goes to standard error, whichever language prints it. `preload` names the modules that a
    process which is kept warm loads beforehand.
    """
    memory, seconds, *arguments = sys.argv[1:]
    if memory == FORK_SERVER:
        serve_forks(int(seconds), lambda request: _work(request, answer), preload)
    else:
        _work(Request(int(memory), int(seconds), arguments), answer)


def _work(request: Request, answer: Callable[[bytes, Sequence[str]], bytes]) -> None:
    _limit(request.memory, request.seconds)
    try:
        with os.fdopen(os.dup(1), "wb") as out:
            os.dup2(2, 1)
            out.write(answer(sys.stdin.buffer.read(), request.arguments))
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


async def _feed(stdin: asyncio.StreamWriter, data: bytes) -> None:
    """Write the input to its end; a process that has died tells by its exit code."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        stdin.write(data)
        await stdin.drain()
    with contextlib.suppress(OSError):
        stdin.write_eof()


async def _collect(stdout: asyncio.StreamReader, limit: int) -> bytes:
    """Read the answer, and no more than the limit; one that its process left unread is as far as it came."""
    pieces, size = [], 0
    while piece := await _next(stdout):
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            raise TooLarge(f"The answer has more than {limit} bytes.", hint="Split the input into smaller files.")
    return b"".join(pieces)


async def _next(stdout: asyncio.StreamReader) -> bytes:
    try:
        return await stdout.read(_MIB)
    except ConnectionResetError:  # the process ended with input unread
        return b""
