"""Stops that no process could obey yet: a flag for the next one that takes the run up."""

from __future__ import annotations

import redis.asyncio as redis

__all__ = ["StopFlags"]

_SECONDS = 600
_KEY = "dify:runs:stopped:"


class StopFlags:
    """Flags of runs that are to be stopped; each is kept for ten minutes."""

    def __init__(self, bus: redis.Redis) -> None:
        self._bus = bus

    async def set(self, run_id: str) -> None:
        """Whoever takes the run up ends it."""
        await self._bus.set(f"{_KEY}{run_id}", b"1", ex=_SECONDS)

    async def is_set(self, run_id: str) -> bool:
        """Whether the run is to be stopped."""
        return bool(await self._bus.exists(f"{_KEY}{run_id}"))
