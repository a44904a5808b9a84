"""The name under which a process holds its runs, and whether the process that a name is of is gone."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from dify_host.db.types import new_id

__all__ = ["is_gone", "process_owner"]


def process_owner() -> str:
    """A name for this process: machine, process namespace and number, and a part that no later process has."""
    return f"{_place()}:{os.getpid()}:{new_id()[-8:]}"


def is_gone(owner: str) -> bool:
    """Whether the process of that name has surely ended: it was on this machine, and is not there."""
    place, _, rest = owner.rpartition(":")[0].rpartition(":")
    if place != _place() or not rest.isdecimal():
        return False
    return not Path(f"/proc/{rest}").exists()


def _place() -> str:
    """Where process numbers mean what they mean here; the machine alone where the system does not say more."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return f"{socket.gethostname()}/{namespace.strip('pid:[]')}"
