"""Brings a SQLite file to write-ahead logging, whoever else is opening it."""

from __future__ import annotations

import sqlite3
import time
from typing import Any, Final

__all__ = ["enter_wal"]

_PAUSE: Final = 0.01  # seconds


def enter_wal(cursor: Any, seconds: float) -> None:
    """Switch the mode; the driver's OperationalError when another process holds the file for so many seconds.

    The switch of a new file does not wait for the lock of another process, whatever `busy_timeout` says: two that have
    read the file and both want to change its mode would wait for each other (https://sqlite.org/wal.html). The other
    is done in an instant, and a file that is in the mode already takes no lock.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as exc:
            busy = getattr(exc, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > deadline:
                raise
        time.sleep(_PAUSE)
