"""Keeps a module of `dify_kernel.child` loaded in a process of its own, which forks a child for every job. Linux.

Loading parsers takes longer than most documents do. The server does it once and never sees a job's bytes: it gets two
sockets with each, hands one to the child as its standard input and output, and reports on the other how the child
ended. So no child inherits what another was given. The server ends with the process that started it, or when idle.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import os
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence

import msgspec

__all__ = ["FORK_SERVER", "ForkServer", "Request", "exit_code", "fork_server", "serve_forks"]

#: What stands in place of the limits among the arguments of a module that is to be a server.
FORK_SERVER = "fork-server"
_IDLE_SECONDS = 120
_STATUS = struct.Struct("<i")
_MAX_REQUEST = 64 * 1024


class Request(msgspec.Struct, frozen=True):
    """A job without its bytes: bytes of memory, seconds, and the arguments of the module."""

    memory: int
    seconds: int
    arguments: list[str]


class ForkServer:
    """This process's end of a server; it is started by the first job, and again when it is gone."""

    def __init__(self, module: str) -> None:
        self.module = module
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self, request: Request) -> tuple[socket.socket, socket.socket]:
        """Start a job: the socket of its bytes, and that of its life.

        Shut the writing side of the second down to have the child killed. It gives the child's exit code in four bytes
        (`exit_code`), and nothing when the server went away first.
        """
        data, child_data = socket.socketpair()
        life, server_life = socket.socketpair()
        with child_data, server_life:
            try:
                self._send(msgspec.msgpack.encode(request), [child_data.fileno(), server_life.fileno()])
            except BaseException:
                data.close()
                life.close()
                raise
        data.setblocking(False)
        life.setblocking(False)
        return data, life

    def has_ended(self) -> bool:
        """Whether the server ended by itself, for it had nothing to do: a job sent meanwhile has not begun."""
        if self._process is None:
            return True
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        return self._process.returncode == 0

    def close(self) -> None:
        """End the server and what it runs; idempotent."""
        if self._control is not None and self._process is not None:
            self._control.close()
            self._process.wait()
        self._control = self._process = None

    def _send(self, message: bytes, fds: Sequence[int]) -> None:
        if self._control is not None and self._process is not None and self._process.poll() is None:
            with contextlib.suppress(OSError):
                socket.send_fds(self._control, [message], fds)
                return
        self._start()
        assert self._control is not None
        socket.send_fds(self._control, [message], fds)

    def _start(self) -> None:
        self.close()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-I", "-m", self.module, FORK_SERVER, str(theirs.fileno())],
                env={}, cwd="/", pass_fds=(theirs.fileno(),), start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        self._control = ours


def fork_server(module: str) -> ForkServer:
    """The server of a module in this process, the same for everybody who asks."""
    return _server(module, os.getpid())


@functools.cache
def _server(module: str, pid: int) -> ForkServer:  # noqa: ARG001  a process that was forked needs its own
    return ForkServer(module)


def exit_code(message: bytes) -> int:
    """What the socket of a job's life gave: an exit code, or a negative signal number."""
    return int(_STATUS.unpack(message)[0])


def serve_forks(control_fd: int, work: Callable[[Request], None], preload: Sequence[str]) -> None:
    """In the server: load modules, then fork for each request until the other end closes or nothing comes.

    `work` does the job on standard input and output, and ends the process or returns. A module that is not there is
    passed over: the job that needs it says so.
    """
    for name in preload:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # children that collect garbage do not copy the pages of what was here before
    with socket.socket(fileno=control_fd) as control:
        _Server(control, work).serve()


class _Server:
    def __init__(self, control: socket.socket, work: Callable[[Request], None]) -> None:
        self._control = control
        self._work = work
        self._pids: dict[int, tuple[int, int]] = {}  # by pidfd: the process, and the socket of its life
        self._lives: dict[int, int] = {}  # by that socket: the process
        self._poll = select.poll()
        self._poll.register(control.fileno(), select.POLLIN)

    def serve(self) -> None:
        while True:
            events = self._poll.poll(None if self._pids else _IDLE_SECONDS * 1000)
            if not events and not self._pids:
                return
            for fd, _ in events:
                if fd in self._pids:
                    self._reap(fd)
                elif fd in self._lives:
                    self._poll.unregister(fd)
                    os.kill(self._lives[fd], signal.SIGKILL)
                elif fd == self._control.fileno() and not self._receive():
                    for pid, _life in self._pids.values():
                        os.kill(pid, signal.SIGKILL)
                    return

    def _receive(self) -> bool:
        """Fork for one request; False when the other end has closed."""
        message, fds, _, _ = socket.recv_fds(self._control, _MAX_REQUEST, 2)
        if not message:
            return False
        data, life = fds
        pid = os.fork()
        if pid == 0:
            try:
                self._become_child(msgspec.msgpack.decode(message, type=Request), data)
                os._exit(0)
            finally:
                os._exit(1)  # whatever happened, the child does not go on as a second server
        os.close(data)
        pidfd = os.pidfd_open(pid)
        self._pids[pidfd] = (pid, life)
        self._lives[life] = pid
        self._poll.register(pidfd, select.POLLIN)
        self._poll.register(life, select.POLLIN)
        return True

    def _become_child(self, request: Request, data: int) -> None:
        os.dup2(data, 0)
        os.dup2(data, 1)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        self._work(request)

    def _reap(self, pidfd: int) -> None:
        pid, life = self._pids.pop(pidfd)
        del self._lives[life]
        self._poll.unregister(pidfd)
        with contextlib.suppress(KeyError):  # it was told to end already
            self._poll.unregister(life)
        _, status = os.waitpid(pid, 0)
        with contextlib.suppress(OSError):
            os.write(life, _STATUS.pack(os.waitstatus_to_exitcode(status)))
        os.close(pidfd)
        os.close(life)
