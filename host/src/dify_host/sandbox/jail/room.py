"""The zygote's own jail, built once: new namespaces, and a read-only root with the interpreter and nothing else."""

from __future__ import annotations

import os
import sys

from .syscalls import (
    ATTR_NODEV,
    ATTR_NOSUID,
    ATTR_READ_ONLY,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    MS_BIND,
    MS_NODEV,
    MS_NOSUID,
    MS_PRIVATE,
    MS_REC,
    mount,
    pivot_root_here,
    set_attributes,
    set_host_name,
    unshare,
)

__all__ = ["NOBODY", "PACKAGES", "SCRATCH", "enter", "interpreter_folders", "write_id_maps"]

NOBODY = 65534
SCRATCH = "/tmp"  # noqa: S108 - inside the jail, where each run has its own
PACKAGES = "/packages"
# Anything may be mounted over here: nothing that the root needs lies below it.
_BUILDING_SITE = "/dev"
_HOST_NAME = "sandbox"
_LINKS = ("/lib", "/lib64", "/lib32", "/usr/lib64")
_FILES = ("/etc/ld.so.cache", "/etc/ld-musl-x86_64.path", "/etc/ld-musl-aarch64.path")
_DATA = ("/usr/share/zoneinfo",)


def interpreter_folders() -> list[str]:
    """Return what a plain interpreter needs to read: its standard library, shared libraries, time zones.

    Call it before anything else is loaded: the folder of every shared library in use is in the list.
    """
    return [path for path in (*sys.path, *_library_folders(), *_DATA) if os.path.isdir(path)]


def enter(folders: list[str], packages: str) -> bool:
    """Leave the host: afterwards this process sees of it no file but those below `folders`, no network, user or name.

    `packages` is the operator's folder of further packages, seen as PACKAGES; "" for none.

    Returns whether the id of nobody exists in the new user namespace, so that children can take it; without (an
    unprivileged host user) they are nobody in name only.
    """
    has_nobody = _new_user_namespace()
    unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)
    set_host_name(_HOST_NAME)
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    mount("tmpfs", _BUILDING_SITE, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=256k,nr_inodes=512")
    _copy_links()
    for path in _outermost(folders):
        os.makedirs(_BUILDING_SITE + path, exist_ok=True)
        mount(path, _BUILDING_SITE + path, None, MS_BIND | MS_REC)
    for path in _FILES:
        if os.path.isfile(path):
            os.makedirs(os.path.dirname(_BUILDING_SITE + path), exist_ok=True)
            os.close(os.open(_BUILDING_SITE + path, os.O_CREAT, 0o444))
            mount(path, _BUILDING_SITE + path, None, MS_BIND | MS_REC)
    _cover_installed_packages(folders)
    if packages:
        os.mkdir(_BUILDING_SITE + PACKAGES, 0o755)
        mount(packages, _BUILDING_SITE + PACKAGES, None, MS_BIND)
    os.mkdir(_BUILDING_SITE + SCRATCH, 0o755)
    os.chdir(_BUILDING_SITE)
    pivot_root_here()
    set_attributes("/", ATTR_READ_ONLY | ATTR_NOSUID | ATTR_NODEV)
    return has_nobody


def _new_user_namespace() -> bool:
    """Enter a user namespace: as its root, with nobody mapped beside it if this process may map two ids."""
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0 and _unshare_user_with_nobody():
        return True
    if uid != 0:
        unshare(CLONE_NEWUSER)
    write_id_maps("/proc/self", f"0 {uid} 1", f"0 {gid} 1")
    return False


def _unshare_user_with_nobody() -> bool:
    """Enter a user namespace that maps root and nobody; False if it was entered and the map was refused.

    Only a process outside may map more than one id: a helper does it, told over a pipe that the namespace exists.
    """
    parent = os.getpid()
    reader, writer = os.pipe()
    helper = os.fork()
    if helper == 0:
        code = 1
        try:
            os.close(writer)
            if os.read(reader, 1):
                for name in ("uid_map", "gid_map"):
                    _write(f"/proc/{parent}/{name}", f"0 0 1\n{NOBODY} {NOBODY} 1\n")
                code = 0
        finally:
            os._exit(code)
    os.close(reader)
    try:
        unshare(CLONE_NEWUSER)
        os.write(writer, b"x")
    finally:
        os.close(writer)
    return os.waitpid(helper, 0)[1] == 0


def write_id_maps(process: str, users: str, groups: str, dir_fd: int | None = None) -> None:
    """Write the id maps of `process`, a folder of procfs, one line each; a map that is there already stays."""
    for name, text in (("setgroups", "deny"), ("uid_map", users), ("gid_map", groups)):
        _write(f"{process}/{name}", text, dir_fd)


def _write(path: str, text: str, dir_fd: int | None = None) -> None:
    fd = os.open(path, os.O_WRONLY, dir_fd=dir_fd)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _library_folders() -> list[str]:
    """Return the folders of the shared libraries in use (the C library's, libffi's), without Python's own."""
    folders = set()
    with open("/proc/self/maps", encoding="utf-8") as lines:
        for line in lines:
            path = line[line.find("/") :].strip() if "/" in line else ""
            if ".so" in path and "libpython" not in path and "lib-dynload" not in path:
                folders.add(os.path.dirname(path))
    return sorted(folders)


def _outermost(paths: list[str]) -> list[str]:
    """Drop what lies inside another path of the list."""
    kept: list[str] = []
    for path in sorted({os.path.abspath(path) for path in paths}):
        if not any(path.startswith(parent + "/") for parent in kept):
            kept.append(path)
    return kept


def _copy_links() -> None:
    """Repeat the host's links from /lib to /usr/lib, by which libraries are found."""
    for path in _LINKS:
        if os.path.islink(path):
            os.makedirs(os.path.dirname(_BUILDING_SITE + path), exist_ok=True)
            os.symlink(os.readlink(path), _BUILDING_SITE + path)


def _cover_installed_packages(parents: list[str]) -> None:
    """Hide installed distributions: the platform's own code and its drivers are nobody's business in here."""
    folders = {f"{parent}/{name}" for parent in parents for name in ("site-packages", "dist-packages")}
    folders |= {"/usr/lib/python3/dist-packages", f"{sys.prefix}/lib/python3/dist-packages"}
    for path in sorted(folders):
        if os.path.isdir(_BUILDING_SITE + path):
            mount("tmpfs", _BUILDING_SITE + path, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=4k,nr_inodes=2")
