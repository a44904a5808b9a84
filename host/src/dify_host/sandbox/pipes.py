"""Reads what a jailed child writes, up to a limit, without blocking the event loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

__all__ = ["PipeReader"]

_CHUNK = 1 << 16


class PipeReader:
    """Collects one pipe until its end.

    Keeps `limit` bytes. The child's own streams stop one byte later; what writes more went around them: then `on_flood`
    is called and the pipe is closed, so that a run cannot keep the event loop busy.
    """

    def __init__(self, limit: int, on_flood: Callable[[], None]) -> None:
        self.data = bytearray()
        self.overflowed = False
        self._limit = limit
        self._seen = 0
        self._on_flood = on_flood
        self._loop = asyncio.get_running_loop()
        self._fd, self.write_end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._fd, False)
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(self._fd, self._read)

    def _read(self) -> None:
        try:
            chunk = os.read(self._fd, _CHUNK)
        except BlockingIOError:
            return
        if not chunk:
            self._stop()
            return
        self._seen += len(chunk)
        self.data += chunk[: self._limit - len(self.data)]
        self.overflowed = self._seen > self._limit
        if self._seen > self._limit + 1:
            self._on_flood()
            self._stop()

    def _stop(self) -> None:
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
        if not self._ended.done():
            self._ended.set_result(None)

    def release_writer(self) -> None:
        """Close this process's copy of the writing end, so that the child's is the last one."""
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1

    async def finished(self) -> None:
        """Wait until every writer has closed the pipe."""
        await self._ended

    def close(self) -> None:
        """Give the descriptors back; idempotent."""
        self.release_writer()
        self._stop()
