"""A module for `dify_kernel.child` to try processes with: it gives back what it gets."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence

from dify_kernel.child import serve

__all__ = ["answer"]


def answer(data: bytes, arguments: Sequence[str]) -> bytes:
    """The data; its process's id for `pid`; nothing, ever, for `wait`."""
    if "wait" in arguments:
        signal.pause()
    return str(os.getpid()).encode() if "pid" in arguments else data


if __name__ == "__main__":
    serve(answer)
