"""A bounded memory of a process: the least recently used goes first, and an entry may end by time."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Lru"]

K = TypeVar("K")
V = TypeVar("V")


class Lru(Generic[K, V]):
    """At most `size` entries; with `ttl` (seconds) each is forgotten that long after it was put."""

    def __init__(self, size: int, ttl: float | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._size = size
        self._ttl = ttl
        self._clock = clock
        self._entries: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def get(self, key: K) -> V | None:
        """The value, or None when it was never put, was forgotten or has ended."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if self._ttl is not None and self._clock() >= entry[0]:
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return entry[1]

    def put(self, key: K, value: V) -> None:
        """Remember a value; the oldest one goes when there are too many."""
        self._entries[key] = (self._clock() + (self._ttl or 0.0), value)
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def drop(self, chosen: Callable[[K, V], bool]) -> None:
        """Forget the entries for which this is true."""
        for key in [key for key, (_, value) in self._entries.items() if chosen(key, value)]:
            del self._entries[key]

    def __len__(self) -> int:
        return len(self._entries)
