"""The host's end of the zygote: starts the process, hands it runs, and learns how they ended."""

from __future__ import annotations

import array
import asyncio
import contextlib
import importlib.util
import os
import socket
import sys

from .jail import wire
from .results import Language, SandboxRefused, SandboxUnavailable

__all__ = ["Zygote", "javascript_engine"]

_START_SECONDS = 20.0
# Standard library only, no environment, and of this project nothing but the `jail` folder, for the import alone.
# What is imported stays, so that looking for garbage in it would only take time: `serve` turns the collector on again.
_BOOT = (
    "import gc, sys; gc.disable(); sys.path.append(sys.argv[1]); from jail.server import serve; sys.path.pop(); "
    "serve(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5])"
)


def javascript_engine() -> str:
    """Return the path of QuickJS's extension module, "" if its distribution is not installed; imports nothing."""
    spec = importlib.util.find_spec("_quickjs")
    return spec.origin or "" if spec is not None else ""


class Zygote:
    """One helper process; `start` it, then `run`. Once it is `dead`, its runs have failed with a retryable error."""

    def __init__(
        self, process: asyncio.subprocess.Process, control: socket.socket, languages: tuple[Language, ...]
    ) -> None:
        self.languages = languages
        self.dead = False
        self._process = process
        self._control = control
        self._loop = asyncio.get_running_loop()
        self._ends: dict[int, asyncio.Future[wire.Exit]] = {}
        self._loop.add_reader(control.fileno(), self._receive)

    @property
    def pid(self) -> int:
        """The helper's process id on the host."""
        return self._process.pid

    @classmethod
    async def start(cls, scratch: int, packages: str = "") -> Zygote:
        """Start the helper and wait until it is jailed; `scratch` is the size of a run's /tmp in bytes.

        `packages` is a folder of packages that Python code may import, "" for none.

        Raises SandboxRefused with the machine's reason, SandboxUnavailable if the helper did not come up.
        """
        engine = javascript_engine()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        try:
            with theirs:
                arguments = (os.path.dirname(__file__), str(theirs.fileno()), str(scratch), engine, packages)
                process = await asyncio.create_subprocess_exec(
                    sys.executable, *("-I", "-S", "-X", "utf8", "-c", _BOOT), *arguments,
                    env={}, cwd="/", pass_fds=(theirs.fileno(),), start_new_session=True,
                    stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
                )  # fmt: skip
            await _handshake(ours, process)
        except BaseException:
            ours.close()
            raise
        return cls(process, ours, ("python3", "javascript") if engine else ("python3",))

    def run(self, job: wire.Job, fds: tuple[int, int, int]) -> asyncio.Future[wire.Exit]:
        """Send one run with its descriptors (input, result, output); the future tells its end."""
        future: asyncio.Future[wire.Exit] = self._loop.create_future()
        self._ends[job.id] = future
        self._send(wire.pack_job(job), fds)
        return future

    def kill(self, job_id: int) -> None:
        """End a run, if it is still there."""
        if job_id in self._ends:
            self._send(wire.pack_kill(job_id), ())

    def _send(self, message: bytes, fds: tuple[int, ...]) -> None:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            self._control.sendmsg([message], rights)
        except OSError:
            self._die()

    def _receive(self) -> None:
        try:
            data = self._control.recv(256)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._die()
            return
        end = wire.unpack_exit(data)
        future = self._ends.pop(end.id, None)
        if future is not None and not future.done():
            future.set_result(end)

    def _die(self) -> None:
        """Fail what runs: the helper is gone, and the kernel ended its children with it."""
        if self.dead:
            return
        self.dead = True
        self._loop.remove_reader(self._control.fileno())
        self._control.close()
        for future in self._ends.values():
            if not future.done():
                future.set_exception(_gone())
                future.exception()  # a run that was cancelled does not ask any more
        self._ends.clear()

    async def close(self) -> None:
        """End the helper and every run of it; idempotent."""
        self._die()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


def _gone() -> SandboxUnavailable:
    return SandboxUnavailable("The code sandbox's helper process ended during the run.", hint="Run it again.")


async def _handshake(ours: socket.socket, process: asyncio.subprocess.Process) -> None:
    """Wait for READY; turn REFUSED, silence and an early end into errors."""
    answer = b""
    with contextlib.suppress(TimeoutError, OSError):
        answer = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(ours, 4096), _START_SECONDS)
    if answer[:1] == bytes([wire.READY]):
        return
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    _, complaint = await process.communicate()
    if answer[:1] == bytes([wire.REFUSED]):
        raise SandboxRefused(answer[1:].decode(errors="replace"))
    last_line = complaint.decode(errors="replace").strip().rpartition("\n")[2]
    raise SandboxUnavailable(f"The code sandbox's helper process did not start: {last_line or 'no answer'}.")
