"""The schedule: jobs written to the outbox at set times (UTC), by one process of many.

Whoever holds the lock keeps the schedule; when it dies another one goes on within `LOCK_SECONDS`. The job of a tick has
a key of its own, so even two that believe they hold the lock write it once. Ticks missed while nobody kept the
schedule are stated in the log, and made up for by one job.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec
from dify_kernel.errors import DifyError
from redis.exceptions import RedisError

from dify_host.db.outbox import enqueue
from dify_host.jobs.actors import ACTORS
from dify_host.jobs.broker import NAMESPACE
from dify_host.settings import HostSettings

if TYPE_CHECKING:
    from dify_host.platform import Platform

__all__ = ["LOCK_SECONDS", "TICKS", "Beat", "Tick"]

log = logging.getLogger(__name__)

LOCK_SECONDS = 15
_LOOK_SECONDS = 5.0
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)

# Takes or renews the lock in one step. KEYS: the lock. ARGV: owner, milliseconds. Returns 1 when it is ours.
_TAKE = """
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_GIVE_BACK = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    """One entry: the actor to run each `every`, `at` after midnight UTC, while `enabled` says so.

    `rhythm` gives `every` where a setting has the say.
    """

    actor: str
    every: timedelta
    at: timedelta = timedelta()
    enabled: Callable[[HostSettings], bool] = lambda _settings: True
    rhythm: Callable[[HostSettings], timedelta] | None = None

    def under(self, settings: HostSettings) -> Tick:
        """The entry as these settings want it."""
        return self if self.rhythm is None else msgspec.structs.replace(self, every=self.rhythm(settings))

    def slot(self, now: float) -> int:
        """Return the number of the latest time it was due; grows by one each time."""
        return int((now - self.at.total_seconds()) // self.every.total_seconds())


#: What runs when; a tick whose setting is off is left out.
TICKS: tuple[Tick, ...] = (
    Tick(
        actor="poll_schedules",
        every=timedelta(minutes=1),
        enabled=lambda settings: settings.enable_workflow_schedule_poller_task,
        rhythm=lambda settings: timedelta(minutes=settings.workflow_schedule_poller_interval),
    ),
    Tick(actor="look_after_triggers", every=timedelta(minutes=1)),
    Tick(actor="look_after_forms", every=timedelta(minutes=1)),
    Tick(actor="wake_knowledge", every=timedelta(minutes=1)),
    Tick(actor="purge_outbox", every=_HOUR),
    Tick(actor="clean_runs", every=_DAY, at=2 * _HOUR, enabled=lambda settings: settings.workflow_log_cleanup_enabled),
    Tick(actor="take_back_imports", every=_DAY, at=5 * _HOUR),
    Tick(actor="sweep_payloads", every=_DAY, at=4 * _HOUR),
    Tick(
        actor="clean_embeddings",
        every=_DAY,
        at=3 * _HOUR,
        enabled=lambda settings: settings.enable_clean_embedding_cache_task,
    ),
)


class Beat:
    """The schedule as one process keeps it."""

    def __init__(
        self,
        platform: Platform,
        *,
        ticks: tuple[Tick, ...] = TICKS,
        namespace: str = NAMESPACE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._db, self._redis = platform.db, platform.redis
        self._ticks = [tick.under(platform.settings) for tick in ticks if tick.enabled(platform.settings)]
        self._owner, self._clock = platform.owner, clock
        self._lock, self._last = f"{namespace}:beat", f"{namespace}:beat:last"
        self._take = self._redis.register_script(_TAKE)
        self._give_back = self._redis.register_script(_GIVE_BACK)

    async def run(self) -> None:
        """Keep the schedule until cancelled; failures of database or bus are logged and outlived."""
        try:
            while True:
                try:
                    if await self.lead():
                        await self.fire()
                except (DifyError, RedisError, OSError) as exc:
                    log.warning("The schedule waits: %s: %s", type(exc).__name__, exc)
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            await asyncio.shield(self.resign())

    async def lead(self) -> bool:
        """Take or renew the lock; tells whether it is ours for the next `LOCK_SECONDS`."""
        return bool(await self._take(keys=[self._lock], args=[self._owner, LOCK_SECONDS * 1000]))

    async def resign(self) -> None:
        """Give the lock back, so that another process goes on at once."""
        try:
            await self._give_back(keys=[self._lock], args=[self._owner])
        except (RedisError, OSError) as exc:
            log.debug("The lock of the schedule runs out by itself: %s", exc)

    async def fire(self) -> list[str]:
        """Write the jobs that are due since the last call of any process, and return their actors."""
        seen: dict[Any, Any] = await self._redis.hgetall(self._last)
        fired = []
        for tick in self._ticks:
            slot = tick.slot(self._clock())
            last = int(seen.get(tick.actor.encode(), -1))
            if slot <= last:
                continue
            if last < 0:
                # The first start of all: it is not late for anything.
                await self._redis.hset(self._last, tick.actor, slot)
                continue
            if slot - last > 1:
                log.warning("%s missed %d ticks; it runs once now.", tick.actor, slot - last - 1)
            async with self._db.write() as conn:
                queue = ACTORS[tick.actor].queue
                await enqueue(conn, tick.actor, {}, queue=queue, key=f"beat:{tick.actor}:{slot}")
            await self._redis.hset(self._last, tick.actor, slot)
            fired.append(tick.actor)
        return fired
