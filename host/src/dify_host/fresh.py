"""Values that are read again after a while: many callers at once cause one read."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

__all__ = ["Fresh"]

K = TypeVar("K")
V = TypeVar("V")


class Fresh(Generic[K, V]):
    """Keeps at most `size` values for `seconds`; a value that is too old is read anew, once for all who wait."""

    def __init__(self, size: int, seconds: float) -> None:
        self._size, self._seconds = size, seconds
        self._kept: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._reading: dict[K, asyncio.Future[V]] = {}

    async def get(self, key: K, read: Callable[[], Awaitable[V]]) -> V:
        """The value of a key; what `read` raises goes to everybody who waited, and nothing is kept."""
        found = self._kept.get(key)
        if found is not None and found[0] > time.monotonic():
            return found[1]
        pending = self._reading.get(key)
        if pending is None:
            pending = asyncio.ensure_future(self._read(key, read))
            self._reading[key] = pending
            pending.add_done_callback(lambda done: self._done(key, done))
        return await asyncio.shield(pending)

    async def _read(self, key: K, read: Callable[[], Awaitable[V]]) -> V:
        return await read()

    def _done(self, key: K, reading: asyncio.Future[V]) -> None:
        if self._reading.get(key) is not reading:
            return
        del self._reading[key]
        if reading.cancelled() or reading.exception() is not None:
            return
        self._kept[key] = (time.monotonic() + self._seconds, reading.result())
        self._kept.move_to_end(key)
        while len(self._kept) > self._size:
            self._kept.popitem(last=False)

    def drop(self, wanted: Callable[[K, V], bool]) -> None:
        """Forget what fits; a read under way is not kept either."""
        for key in [key for key, (_, value) in self._kept.items() if wanted(key, value)]:
            del self._kept[key]
        self._reading.clear()
