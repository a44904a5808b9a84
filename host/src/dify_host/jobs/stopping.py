"""Waits on the main thread for the signal to stop, or for a part of the process that asks for it."""

from __future__ import annotations

import os
import select
import signal

__all__ = ["StopRequest"]


class StopRequest:
    """Set by SIGTERM, SIGINT or `set`; a pipe, as what a signal interrupts may hold the lock of an event."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)

    def listen(self) -> StopRequest:
        """Take SIGTERM and SIGINT (main thread only); a second signal ends the process at once."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        return self

    def set(self) -> None:
        """Ask to stop; safe from any thread and signal handler."""
        os.write(self._writer, b"x")

    def wait(self, timeout: float | None = None) -> bool:
        """Block until somebody asks to stop, or for `timeout` seconds; tells whether somebody did."""
        ready, _, _ = select.select([self._reader], [], [], timeout)
        return bool(ready)

    def _on_signal(self, number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        self.set()
