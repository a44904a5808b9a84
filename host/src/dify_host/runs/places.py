"""How many runs an app may have at a time, counted in Redis over all processes.

A run has a place in a sorted set of its app, under the time at which its lease ends. The process that has the run
renews it; the places of a process that was killed are free when their leases are over. Without Redis nobody is refused.
"""

from __future__ import annotations

import asyncio
import logging

import redis.asyncio as redis

__all__ = ["Places"]

log = logging.getLogger(__name__)

# KEYS: the places. ARGV: how many there are (0: any number), lease in milliseconds, the run. Returns 1 when it has one.
_TAKE = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
local most = tonumber(ARGV[1])
if most > 0 and redis.call('ZCARD', KEYS[1]) >= most and not redis.call('ZSCORE', KEYS[1], ARGV[3]) then return 0 end
redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[2]), ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
"""
# KEYS: the places. ARGV: lease in milliseconds, the runs.
_RENEW = """
local clock = redis.call('TIME')
local till = string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000) + ARGV[1])
for index = 2, #ARGV do redis.call('ZADD', KEYS[1], till, ARGV[index]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
"""


class Places:
    """The places that the runs of this process have; their leases are over `lease` seconds after the last renewal."""

    def __init__(self, bus: redis.Redis, *, lease: float = 60.0, prefix: str = "dify:runs:places:") -> None:
        self._bus, self._prefix = bus, prefix
        self._lease, self._every = round(lease * 1000), lease / 3
        self._take, self._renew = bus.register_script(_TAKE), bus.register_script(_RENEW)
        self._held: dict[str, set[str]] = {}
        self._left: list[tuple[str, str]] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def take(self, app_id: str, run_id: str, most: int) -> bool:
        """Whether there was a place for the run, which it has now; with `most` 0 there is always one."""
        try:
            found = await self._take(keys=[self._prefix + app_id], args=[most, self._lease, run_id])
        except (redis.RedisError, OSError) as exc:
            log.warning("The runs of app %s are not counted, as Redis does not answer: %s", app_id, exc)
            found = 1
        except BaseException:
            self.give_back(app_id, run_id)
            raise
        if found:
            self._held.setdefault(app_id, set()).add(run_id)
            self._start()
        return bool(found)

    def give_back(self, app_id: str, run_id: str) -> None:
        """The run is over; harmless when it has no place."""
        held = self._held.get(app_id, set())
        held.discard(run_id)
        if not held:
            self._held.pop(app_id, None)
        self._left.append((app_id, run_id))
        self._wake.set()
        self._start()

    async def close(self) -> None:
        """Give back what is left, and renew nothing more."""
        for app_id, runs in list(self._held.items()):
            for run_id in list(runs):
                self.give_back(app_id, run_id)
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    def _start(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work(), name="run-places")

    async def _work(self) -> None:
        """Renew and free places one after the other, so that none is renewed after it was freed."""
        while self._held or self._left:
            self._wake.clear()
            if self._left:
                await self._free()
                continue
            try:
                await asyncio.wait_for(self._wake.wait(), self._every)
            except TimeoutError:
                await self._renew_all()

    async def _free(self) -> None:
        left, self._left = self._left, []
        pipe = self._bus.pipeline(transaction=False)
        for app_id, run_id in left:
            pipe.zrem(self._prefix + app_id, run_id)
        try:
            await pipe.execute()
        except (redis.RedisError, OSError) as exc:
            log.warning("The places of %d runs are free when their leases are over: %s", len(left), exc)

    async def _renew_all(self) -> None:
        for app_id, runs in list(self._held.items()):
            try:
                await self._renew(keys=[self._prefix + app_id], args=[self._lease, *runs])
            except (redis.RedisError, OSError) as exc:
                log.warning("The places of %d runs of app %s are not renewed: %s", len(runs), app_id, exc)
