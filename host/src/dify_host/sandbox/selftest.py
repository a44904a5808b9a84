"""Looks from inside at the jail just built: a run that tries each wall once, and says which of them gave way."""

from __future__ import annotations

import os
from typing import Any

import msgspec

__all__ = ["PROGRAM", "problems", "remedy"]

PROGRAM = """
import os

def attempt(action):
    try:
        action()
    except OSError as exc:
        return type(exc).__name__
    return "done"

def listing(folder):
    return os.listdir(folder) if os.path.isdir(folder) else []

def main(hidden):
    import _socket
    library = os.path.dirname(os.__file__)
    folders = [path for path in ("/packages",) if os.path.isdir(path)]
    return {
        "uid": os.getuid(),
        "pid": os.getpid(),
        "root": sorted(os.listdir("/")),
        "host_file": [path for path in hidden if attempt(lambda: os.stat(path)) == "done"],
        "writable": [path for path in ("/", library, *folders) if not os.statvfs(path).f_flag & os.ST_RDONLY],
        "unreadable": [path for path in folders if attempt(lambda: os.listdir(path)) != "done"],
        "packages": listing(library + "/site-packages") + listing(library + "/dist-packages"),
        "write": attempt(lambda: os.mkdir("/outside")),
        "socket": attempt(lambda: _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)),
        "fork": attempt(os.fork),
        "exec": attempt(lambda: os.execv("/bin/true", ["true"])),
        "signal": attempt(lambda: os.kill(1, 0)),
    }
"""


class _Findings(msgspec.Struct):
    uid: int
    pid: int
    root: list[str]
    host_file: list[str]
    writable: list[str]
    unreadable: list[str]
    packages: list[str]
    write: str
    socket: str
    fork: str
    exec: str
    signal: str


def problems(answer: Any) -> tuple[str, ...]:
    """Return what is open in the jail, as sentences; empty when it holds."""
    seen = msgspec.convert(answer, _Findings)
    found = [
        f"{what} was possible"
        for what, outcome in (
            ("writing outside /tmp", seen.write),
            ("opening a socket", seen.socket),
            ("starting a process", seen.fork),
            ("running a program", seen.exec),
            ("sending a signal", seen.signal),
        )
        if outcome == "done"
    ]
    if seen.host_file:
        found.append(f"files of the host are visible: {', '.join(seen.host_file)}")
    if seen.writable:
        found.append(f"not mounted read-only: {', '.join(seen.writable)}")
    if seen.unreadable:
        found.append("nobody may read the folder of SANDBOX_PACKAGES; allow it with chmod -R a+rX")
    if seen.packages:
        found.append(f"installed packages are visible: {', '.join(seen.packages[:5])}")
    if seen.uid != 65534:
        found.append(f"the user is {seen.uid}, not nobody")
    if seen.pid != 1:
        found.append("other processes share the pid namespace")
    if extra := set(seen.root) & {"proc", "sys", "home", "dev", "var", "run"}:
        found.append(f"the root holds {', '.join(sorted(extra))}")
    return tuple(found)


def remedy() -> str:
    """Say what an operator can change on this machine so that user code may run."""
    switches = (
        ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
        ("kernel.unprivileged_userns_clone", "0", "1"),
        ("user.max_user_namespaces", "0", "10000"),
    )
    for name, closed, opened in switches:
        if _read(f"/proc/sys/{name.replace('.', '/')}") == closed:
            return f"Allow user namespaces (sysctl -w {name}={opened}), or use a remote code sandbox."
    return (
        "Let the process create user, mount and network namespaces (in Docker: --security-opt seccomp=unconfined "
        "--security-opt apparmor=unconfined; in Kubernetes: an Unconfined seccomp and AppArmor profile), "
        "or use a remote code sandbox."
    )


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def hidden_files() -> list[str]:
    """Return paths which surely exist on the host and must not be seen from inside."""
    own = os.path.abspath(__file__)
    return [own, os.path.abspath(msgspec.__file__), "/etc/passwd", "/proc/self"]
