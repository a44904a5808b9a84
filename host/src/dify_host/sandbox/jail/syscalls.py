"""The Linux calls which the standard library lacks: namespaces, mounts, clone, capabilities, prctl.

Every function raises OSError with the call's name on failure.
"""

from __future__ import annotations

import ctypes
import os

__all__ = [
    "ATTR_NODEV",
    "ATTR_NOSUID",
    "ATTR_READ_ONLY",
    "CLONE_NEWIPC",
    "CLONE_NEWNET",
    "CLONE_NEWNS",
    "CLONE_NEWPID",
    "CLONE_NEWUSER",
    "CLONE_NEWUTS",
    "MS_BIND",
    "MS_NODEV",
    "MS_NOSUID",
    "MS_PRIVATE",
    "MS_REC",
    "SIGKILL",
    "drop_capabilities",
    "fork_into",
    "machine",
    "mount",
    "pivot_root_here",
    "prctl",
    "set_attributes",
    "set_host_name",
    "unshare",
]

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 0x2, 0x4, 0x1000, 0x4000, 0x40000
ATTR_READ_ONLY, ATTR_NOSUID, ATTR_NODEV = 0x1, 0x2, 0x4

SIGKILL = 9  # the module `signal` makes enumerations of all of them, which a start can do without
_SIGCHLD = 17
_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000
_MNT_DETACH = 2
_CAPABILITY_VERSION_3 = 0x20080522
_PR_CAPBSET_DROP, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 24, 47, 4
_LAST_CAPABILITY = 63

# name: (x86_64, aarch64)
_NUMBERS = {"clone": (56, 220), "pivot_root": (155, 41), "capset": (126, 91), "mount_setattr": (442, 442)}
_MACHINES = {"x86_64": 0, "aarch64": 1}

# PyDLL keeps the interpreter's lock during the call, which a fork needs; the calls here do not wait.
_libc = ctypes.PyDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long


def machine() -> str:
    """Return the processor family, one the tables know; OSError for any other."""
    name = os.uname().machine
    if name not in _MACHINES:
        raise OSError(f"the code sandbox knows no system call numbers for {name}")
    return name


def _call(name: str, *args: int | bytes | None) -> int:
    number = _NUMBERS[name][_MACHINES[machine()]]
    words = [ctypes.c_long(arg) if isinstance(arg, int) else ctypes.c_char_p(arg) for arg in args]
    result = int(_syscall(ctypes.c_long(number), *words))
    if result < 0:
        _fail(name)
    return result


def _fail(name: str) -> None:
    code = ctypes.get_errno()
    raise OSError(code, f"{name}: {os.strerror(code)}")


def unshare(flags: int) -> None:
    """Move this process into new namespaces."""
    if _libc.unshare(flags) != 0:
        _fail("unshare")


def mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    """Mount `source` on `target`."""
    texts = [text.encode() if text is not None else None for text in (source, target, kind)]
    data = options.encode() if options is not None else None
    if _libc.mount(*texts, ctypes.c_ulong(flags), data) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"mount {target}: {os.strerror(code)}")


def set_attributes(target: str, attributes: int) -> None:
    """Add attributes to the mount at `target` and to every mount under it (Linux 5.12)."""
    record = (ctypes.c_uint64 * 4)(attributes, 0, 0, 0)
    _call("mount_setattr", _AT_FDCWD, target.encode(), _AT_RECURSIVE, ctypes.addressof(record), 32)


def set_host_name(name: str) -> None:
    """Name this machine within the own namespace of names."""
    if _libc.sethostname(name.encode(), ctypes.c_size_t(len(name.encode()))) != 0:
        _fail("sethostname")


def pivot_root_here() -> None:
    """Make the working directory, which is a mount point, the root, and detach the old root."""
    _call("pivot_root", b".", b".")
    if _libc.umount2(b".", _MNT_DETACH) != 0:
        _fail("umount2")
    os.chdir("/")


def prctl(option: int, *args: int) -> None:
    """Call prctl with up to four numbers or addresses."""
    words = [ctypes.c_ulong(arg) for arg in (*args, 0, 0, 0, 0)[:4]]
    if _libc.prctl(ctypes.c_int(option), *words) != 0:
        _fail("prctl")


def fork_into(flags: int) -> int:
    """Fork into new namespaces; returns 0 in the child and its pid in the parent. One thread only.

    The child is the first process of its pid namespace, without the second fork which os.fork and unshare would need:
    its parent sees, waits for and kills exactly this process, and the kernel ends all others of the namespace with it.
    """
    api = ctypes.pythonapi
    api.PyOS_BeforeFork()
    pid = int(_syscall(*(ctypes.c_long(v) for v in (_clone_number(), flags | _SIGCHLD, 0, 0, 0, 0))))
    if pid == 0:
        api.PyOS_AfterFork_Child()
        return 0
    code = ctypes.get_errno()
    api.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(code, f"clone: {os.strerror(code)}")
    return pid


def _clone_number() -> int:
    return _NUMBERS["clone"][_MACHINES[machine()]]


def drop_capabilities() -> None:
    """Give up every capability for good."""
    for capability in range(_LAST_CAPABILITY + 1):
        if _libc.prctl(_PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0) != 0:
            break  # past the last one this kernel knows
    prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    _call("capset", ctypes.addressof(header), ctypes.addressof(nothing))
