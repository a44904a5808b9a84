"""Child processes that end when the thread that started them does, however it ends."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable

__all__ = ["die_with_parent"]

_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>


def die_with_parent() -> Callable[[], None] | None:
    """Return what a child runs before its program, so that it gets SIGTERM when its parent thread ends.

    None where the system has no such thing (it is Linux' own): there a killed parent leaves children behind.
    """
    if sys.platform != "linux":
        return None
    # Looked up before the fork: a child of a process with threads must not load anything.
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def tie() -> None:
        prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return tie
