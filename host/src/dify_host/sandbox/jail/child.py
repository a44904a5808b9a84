"""One run: the forked child locks itself in, then runs the user's code and writes the answer.

The order matters: what needs rights comes first (the private /tmp, the ids), the system call filter last.
"""

from __future__ import annotations

import fcntl
import os
import resource
import sys

from . import javascript_code, python_code, seccomp, syscalls
from .outcome import Failure, Output, describe
from .room import NOBODY, SCRATCH, write_id_maps
from .wire import LANGUAGES, Job, split_program

__all__ = ["Limits", "run_child"]

_INPUT_FD, _RESULT_FD, _PROCFS_FD = 0, 3, 4
_MOST_DESCRIPTORS = 64
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4


class Limits:
    """What is the same for every run; sizes in bytes. `procfs` is a descriptor of the host's /proc."""

    __slots__ = ("base_memory", "filter", "has_nobody", "procfs", "scratch")

    def __init__(self, scratch: int, base_memory: int, has_nobody: bool, filter: bytes, procfs: int) -> None:
        self.scratch = scratch
        self.base_memory = base_memory
        self.has_nobody = has_nobody
        self.filter = filter
        self.procfs = procfs


def run_child(job: Job, fds: tuple[int, int, int], limits: Limits) -> None:
    """Confine this process, run the job's program and exit; never returns.

    The answer on the result descriptor is one letter and a body: R and the result as JSON; E, the error's type, a
    newline and its text; S and the reason why the jail could not be closed, in which case no user code ran.
    """
    # The parent's death ends this child too: set first, and again after the ids change, which clears it.
    syscalls.prctl(_PR_SET_PDEATHSIG, syscalls.SIGKILL)
    _arrange_descriptors(fds, limits)
    try:
        program = _read_all(_INPUT_FD)
        _confine(job, limits)
    except BaseException as exc:
        _write_all(_RESULT_FD, b"S" + f"{type(exc).__name__}: {exc}".encode())
        os._exit(1)
    output = Output(job.output_limit)
    sys.stdout = sys.stderr = output.text
    ballast = bytes(2 << 20)  # address space alone: pages that nobody writes to are not there
    source, inputs = split_program(program)
    del program
    code = source.decode()
    try:
        if LANGUAGES[job.language] == "python3":
            answer = python_code.run(code, inputs)
        else:
            answer = javascript_code.run(code, inputs, job.memory)
        if len(answer) > job.result_limit:
            text = f"main returned {len(answer)} bytes of JSON; at most {job.result_limit} are allowed."
            raise Failure("ResultTooLarge", text)
        answer = b"R" + answer
    except BaseException as exc:
        del ballast  # room for the traceback when the memory is used up, and descriptors when there is none left
        os.closerange(_RESULT_FD + 1, _MOST_DESCRIPTORS)
        answer = b"E" + describe(exc, code)
    output.close()
    _write_all(_RESULT_FD, answer)
    os._exit(0)


def _read_all(fd: int) -> bytes:
    chunks = []
    while chunk := os.read(fd, 1 << 20):
        chunks.append(chunk)
    return b"".join(chunks)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(fd, view) :]
    except OSError:
        os._exit(1)  # nobody listens any more


def _confine(job: Job, limits: Limits) -> None:
    os.setsid()
    syscalls.mount("tmpfs", SCRATCH, "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, _scratch_options(limits))
    _become_nobody(limits)
    syscalls.prctl(_PR_SET_PDEATHSIG, syscalls.SIGKILL)
    os.chdir(SCRATCH)
    os.close(_PROCFS_FD)
    _set_limits(job, limits)
    seccomp.install(limits.filter)


def _scratch_options(limits: Limits) -> str:
    owner = NOBODY if limits.has_nobody else 0
    return f"size={limits.scratch},nr_inodes=1024,mode=700,uid={owner},gid={owner}"


def _become_nobody(limits: Limits) -> None:
    """Take the ids of nobody in a user namespace of this run's own, without any capability.

    Where the host's root started the platform these are nobody's ids on the host as well.
    """
    inner = NOBODY if limits.has_nobody else 0
    if limits.has_nobody:
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        syscalls.prctl(_PR_SET_DUMPABLE, 1)  # the change of ids gave this process's own procfs files to root
    syscalls.unshare(syscalls.CLONE_NEWUSER)
    line = f"{NOBODY} {inner} 1"
    write_id_maps("self", line, line, dir_fd=_PROCFS_FD)
    syscalls.drop_capabilities()
    syscalls.prctl(_PR_SET_DUMPABLE, 0)


def _arrange_descriptors(fds: tuple[int, int, int], limits: Limits) -> None:
    """Keep the input as stdin (at its end by then), the output as stdout and stderr, the result, and procfs for now."""
    source, result, output = fds
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 16) for fd in (source, output, output, result, limits.procfs)]
    for number, fd in enumerate(high):
        os.dup2(fd, number)
    os.closerange(len(high), 1 << 20)


def _set_limits(job: Job, limits: Limits) -> None:
    seconds = int(job.timeout) + 2
    for kind, value in (
        (resource.RLIMIT_AS, limits.base_memory + job.memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, limits.scratch),
        (resource.RLIMIT_NOFILE, _MOST_DESCRIPTORS),
        (resource.RLIMIT_NPROC, 1),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ):
        resource.setrlimit(kind, (value, value))
