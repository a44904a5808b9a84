"""The zygote: a small process that jails itself, then forks one child a run, watches the clock and reports the ends.

It never sees code, inputs or results; see `wire`.
"""

from __future__ import annotations

import _socket
import gc
import importlib
import importlib.machinery
import os
import select
import struct
import sys
import time

from . import room, seccomp, syscalls, wire
from .child import Limits, run_child

__all__ = ["serve"]

# Imported once here instead of in each run: what nearly every program uses. Others cost a run that uses them less than
# they would cost each start (`datetime` 1 ms).
_PRELOADED = ("collections", "functools", "itertools", "json", "math", "re", "time")
# A run is one thread: what counts on more must be told, or it fails while it is imported.
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_FDS = struct.Struct("3i")
# Per run; the user namespace follows once the child has mounted its /tmp. The namespaces of network, IPC and names are
# the zygote's, all empty: one of each per run would cost 4 ms, and the filter refuses every call that could use them.
_NAMESPACES = syscalls.CLONE_NEWPID | syscalls.CLONE_NEWNS


class _Running:
    __slots__ = ("deadline", "id", "pid", "pidfd", "reason", "started")

    def __init__(self, id: int, pid: int, timeout: float) -> None:
        self.id = id
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)
        self.started = time.monotonic()
        self.deadline = self.started + timeout
        self.reason = wire.EXITED


def serve(control_fd: int, scratch: int, javascript: str, packages: str) -> None:
    """Enter the jail, say READY or REFUSED with a reason, then work until the pool hangs up.

    `scratch` is the size of a run's /tmp in bytes; `javascript` the path of the engine's extension module, or "";
    `packages` a folder of packages that Python code may import, or "".
    """
    os.environ.clear()
    control = _socket.socket(fileno=control_fd)
    try:
        limits = _prepare(scratch, javascript, packages)
    except (OSError, ImportError) as exc:
        control.send(bytes([wire.REFUSED]) + str(exc).encode())
        return
    control.send(bytes([wire.READY]))
    _Zygote(control, limits).work()


def _prepare(scratch: int, javascript: str, packages: str) -> Limits:
    folders = room.interpreter_folders()
    for name in _PRELOADED:
        importlib.import_module(name)
    if javascript:
        loader = importlib.machinery.ExtensionFileLoader("_quickjs", javascript)
        spec = importlib.machinery.ModuleSpec("_quickjs", loader, origin=javascript)
        sys.modules["_quickjs"] = loader.create_module(spec)
        loader.exec_module(sys.modules["_quickjs"])
    program = seccomp.assemble(syscalls.machine())
    procfs = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
    quiet = os.open(os.devnull, os.O_RDWR)
    has_nobody = room.enter(folders, packages)
    if packages:
        sys.path.append(room.PACKAGES)
        os.environ.update(_ONE_THREAD)
    os.dup2(quiet, 2)
    os.close(quiet)
    return Limits(scratch, _own_size(procfs), has_nobody, program, procfs)


def _own_size(procfs: int) -> int:
    """Return the address space in use, bytes: what a run's memory limit comes on top of."""
    fd = os.open("self/statm", os.O_RDONLY, dir_fd=procfs)
    try:
        return int(os.read(fd, 200).split()[0]) * os.sysconf("SC_PAGE_SIZE")
    finally:
        os.close(fd)


class _Zygote:
    def __init__(self, control: _socket.socket, limits: Limits) -> None:
        self._control = control
        self._limits = limits
        self._runs: dict[int, _Running] = {}  # by pidfd
        self._poll = select.poll()
        self._poll.register(control.fileno(), select.POLLIN)

    def work(self) -> None:
        """Serve until the control socket closes; children die with this process."""
        gc.freeze()  # children that collect garbage do not copy the pages of what was here before
        gc.enable()
        while True:
            for fd, _ in self._poll.poll(self._wait()):
                if fd != self._control.fileno():
                    self._reap(fd)
                elif not self._receive():
                    return
            now = time.monotonic()
            for run in list(self._runs.values()):
                if run.deadline <= now and run.reason == wire.EXITED:
                    self._kill(run, wire.TIMED_OUT)

    def _wait(self) -> float | None:
        """Return the milliseconds until the next deadline of a run that was not told to end yet."""
        deadlines = [run.deadline for run in self._runs.values() if run.reason == wire.EXITED]
        return max(0.0, (min(deadlines) - time.monotonic()) * 1000) + 1 if deadlines else None

    def _receive(self) -> bool:
        """Handle one message; False when the pool has hung up."""
        data, ancillary, _, _ = self._control.recvmsg(256, 64)
        if not data:
            return False
        if data[0] == wire.KILL:
            wanted = wire.unpack_kill(data)
            for run in list(self._runs.values()):
                if run.id == wanted:
                    self._kill(run, wire.KILLED)
            return True
        fds = _FDS.unpack(ancillary[0][2])
        self._start(wire.unpack_job(data), fds)
        return True

    def _start(self, job: wire.Job, fds: tuple[int, int, int]) -> None:
        try:
            pid = syscalls.fork_into(_NAMESPACES)
        except OSError as exc:
            self._report(wire.Exit(job.id, wire.NOT_STARTED, exc.errno or 0))
            pid = -1
        if pid == 0:
            try:
                run_child(job, fds, self._limits)
            finally:
                os._exit(1)  # whatever happened, the child does not go on as a second zygote
        for fd in fds:
            os.close(fd)
        if pid < 0:
            return
        run = _Running(job.id, pid, job.timeout)
        self._runs[run.pidfd] = run
        self._poll.register(run.pidfd, select.POLLIN)

    def _kill(self, run: _Running, reason: int) -> None:
        """End the run with all its processes: the child is the first of its pid namespace."""
        run.reason = reason
        os.kill(run.pid, syscalls.SIGKILL)

    def _reap(self, pidfd: int) -> None:
        run = self._runs.pop(pidfd)
        self._poll.unregister(pidfd)
        os.close(pidfd)
        _, status, usage = os.wait4(run.pid, 0)
        wall = time.monotonic() - run.started
        code = os.waitstatus_to_exitcode(status)
        cpu = usage.ru_utime + usage.ru_stime
        self._report(wire.Exit(run.id, run.reason, code, wall, cpu, usage.ru_maxrss * 1024))

    def _report(self, end: wire.Exit) -> None:
        self._control.send(wire.pack_exit(end))
