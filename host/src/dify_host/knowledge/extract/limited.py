"""Becomes another program after lowering its limits: `python -m … MEMORY SECONDS FILE_SIZE COMMAND…`."""

from __future__ import annotations

import os
import resource
import sys

__all__ = ["main"]


def main() -> None:
    """Take the limits, bytes and seconds, and the command from the arguments; exit code 127 when there is no such."""
    memory, seconds, size, *command = sys.argv[1:]
    for limit, value in (
        (resource.RLIMIT_AS, int(memory)),
        (resource.RLIMIT_CPU, int(seconds)),
        (resource.RLIMIT_FSIZE, int(size)),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))
    try:
        os.execvp(command[0], command)  # noqa: S606  the operator's own command, without a shell
    except OSError:
        sys.exit(127)


if __name__ == "__main__":
    main()
