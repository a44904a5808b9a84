"""The system call filter of the jailed child: a short list of what a computation needs; the rest fails with EPERM.

The program is classic BPF, assembled by hand: load and check the architecture, load the number, one comparison a call.
Refused calls return an error instead of killing, so user code sees a PermissionError where it happens.
"""

from __future__ import annotations

import ctypes
import errno
import struct

from . import syscalls

__all__ = ["ALLOWED", "REFUSED_WITH", "assemble", "install"]

# name: (x86_64, aarch64); None where the architecture has no such call
Numbers = tuple[int | None, int | None]

_MEMORY: dict[str, Numbers] = {
    "brk": (12, 214),
    "mmap": (9, 222),
    "munmap": (11, 215),
    "mprotect": (10, 226),
    "mremap": (25, 216),
    "madvise": (28, 233),
}
_FILES: dict[str, Numbers] = {
    "read": (0, 63),
    "write": (1, 64),
    "readv": (19, 65),
    "writev": (20, 66),
    "pread64": (17, 67),
    "pwrite64": (18, 68),
    "open": (2, None),
    "openat": (257, 56),
    "close": (3, 57),
    "close_range": (436, 436),
    "lseek": (8, 62),
    "fsync": (74, 82),
    "fdatasync": (75, 83),
    "ftruncate": (77, 46),
    "stat": (4, None),
    "lstat": (6, None),
    "fstat": (5, 80),
    "newfstatat": (262, 79),
    "statx": (332, 291),
    "statfs": (137, 43),
    "fstatfs": (138, 44),
    "access": (21, None),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "getdents64": (217, 61),
    "getcwd": (79, 17),
    "chdir": (80, 49),
    "readlink": (89, None),
    "readlinkat": (267, 78),
    "mkdir": (83, None),
    "mkdirat": (258, 34),
    "rmdir": (84, None),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "dup": (32, 23),
    "dup2": (33, None),
    "dup3": (292, 24),
    "pipe": (22, None),
    "pipe2": (293, 59),
    "fcntl": (72, 25),
    "select": (23, None),
    "pselect6": (270, 72),
    "poll": (7, None),
    "ppoll": (271, 73),
}
_PROCESS: dict[str, Numbers] = {
    "exit": (60, 93),
    "exit_group": (231, 94),
    "futex": (202, 98),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "restart_syscall": (219, 128),
    "setitimer": (38, 103),
    "getitimer": (36, 102),
    "alarm": (37, None),
    "pause": (34, None),
    "getpid": (39, 172),
    "getppid": (110, 173),
    "gettid": (186, 178),
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getegid": (108, 177),
    "getrlimit": (97, 163),
    "getrusage": (98, 165),
    "times": (100, 153),
    "time": (201, None),
    "gettimeofday": (96, 169),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "nanosleep": (35, 101),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "getrandom": (318, 278),
    "getcpu": (309, 168),
    "uname": (63, 160),
    "sysinfo": (99, 179),
}
ALLOWED: dict[str, Numbers] = {**_MEMORY, **_FILES, **_PROCESS}
# Callers fall back quietly on these errors: isatty() says no, and the C library tries clone, which is refused.
REFUSED_WITH: dict[str, tuple[Numbers, int]] = {
    "ioctl": ((16, 29), errno.ENOTTY),
    "clone3": ((435, 435), errno.ENOSYS),
}

_COLUMN = {"x86_64": 0, "aarch64": 1}
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_LOAD_WORD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06
_OFFSET_NUMBER, _OFFSET_ARCH = 0, 4
_RET_KILL_PROCESS, _RET_ERRNO, _RET_ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def assemble(machine: str) -> bytes:
    """Return the filter for a processor family: 8 bytes an instruction, fewer than 255 of them.

    A call of another architecture's table (32-bit calls on x86_64) kills the process: its numbers mean other calls.
    The x32 numbers of x86_64 are above every number of the list, so they are refused like any unknown one.
    """
    column = _COLUMN[machine]
    code = [
        _instruction(_LOAD_WORD, _OFFSET_ARCH),
        _instruction(_JUMP_EQUAL, _AUDIT_ARCH[machine], when_true=1),
        _instruction(_RETURN, _RET_KILL_PROCESS),
        _instruction(_LOAD_WORD, _OFFSET_NUMBER),
    ]
    for numbers, error in REFUSED_WITH.values():
        number = numbers[column]
        if number is not None:
            code.append(_instruction(_JUMP_EQUAL, number, when_false=1))
            code.append(_instruction(_RETURN, _RET_ERRNO | error))
    allowed = [numbers[column] for numbers in ALLOWED.values()]
    present = [number for number in allowed if number is not None]
    for position, number in enumerate(present):
        code.append(_instruction(_JUMP_EQUAL, number, when_true=len(present) - position))
    code.append(_instruction(_RETURN, _RET_ERRNO | errno.EPERM))
    code.append(_instruction(_RETURN, _RET_ALLOW))
    return b"".join(code)


def _instruction(operation: int, value: int, *, when_true: int = 0, when_false: int = 0) -> bytes:
    return struct.pack("<HBBI", operation, when_true, when_false, value)


def install(program: bytes) -> None:
    """Put this process under the filter for good; it cannot be lifted, by nobody."""
    buffer = ctypes.create_string_buffer(program, len(program))
    record = _Program(len(program) // 8, ctypes.addressof(buffer))
    syscalls.prctl(_PR_SET_NO_NEW_PRIVS, 1)
    syscalls.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(record))
