"""The schedule fires once a tick, whoever keeps it, and makes up for missed ticks with one job."""

from __future__ import annotations

import inspect
import logging
import secrets
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import redis.asyncio as redis
from dify_host.db.engine import Database
from dify_host.db.outbox import claim_batch
from dify_host.jobs.actors import ACTORS
from dify_host.jobs.broker import QUEUES, JobBroker
from dify_host.jobs.schedule import TICKS, Beat, Tick
from dify_host.settings import HostSettings

HOUR = 3600.0
HOURLY = (Tick(actor="purge_outbox", every=timedelta(hours=1)),)


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def beat(sqlite_database: Database, redis_url: str, clock: Clock) -> AsyncIterator[Callable[[str], Beat]]:
    """A function that makes the schedule of a process."""
    client, name = redis.Redis.from_url(redis_url), f"test-{secrets.token_hex(6)}"

    def make(owner: str) -> Beat:
        parts: Any = SimpleNamespace(db=sqlite_database, redis=client, settings=HostSettings(), owner=owner)
        return Beat(parts, ticks=HOURLY, namespace=name, clock=clock)

    yield make
    await client.delete(f"{name}:beat", f"{name}:beat:last")
    await client.aclose()


async def test_one_of_many_leads_until_it_resigns(beat: Callable[[str], Beat]) -> None:
    first, second = beat("a"), beat("b")
    assert await first.lead()
    assert await first.lead()
    assert not await second.lead()
    await second.resign()
    assert not await second.lead()
    await first.resign()
    assert await second.lead()


async def test_a_tick_fires_once_for_all(beat: Callable[[str], Beat], clock: Clock, sqlite_database: Database) -> None:
    first, second = beat("a"), beat("b")
    assert await first.fire() == []  # the first start is late for nothing
    clock.now += HOUR
    assert await first.fire() == ["purge_outbox"]
    assert await second.fire() == []
    assert await first.fire() == []
    assert [job.actor for job in await claim_batch(sqlite_database)] == ["purge_outbox"]


async def test_two_that_fire_at_once_write_one_job(
    beat: Callable[[str], Beat], clock: Clock, sqlite_database: Database, redis_url: str
) -> None:
    first, second = beat("a"), beat("b")
    await first.fire()
    clock.now += HOUR
    async with redis.Redis.from_url(redis_url) as client:
        seen = await client.hgetall(first._last)
        await first.fire()
        await client.hset(first._last, mapping=seen)  # as the second one saw it a moment ago
        await second.fire()
    assert len(await claim_batch(sqlite_database)) == 1


async def test_missed_ticks_are_stated_and_run_once(
    beat: Callable[[str], Beat], clock: Clock, caplog: pytest.LogCaptureFixture, sqlite_database: Database
) -> None:
    keeper = beat("a")
    await keeper.fire()
    clock.now += 5 * HOUR
    with caplog.at_level(logging.WARNING):
        assert await keeper.fire() == ["purge_outbox"]
    assert "missed 4 ticks" in caplog.text
    assert len(await claim_batch(sqlite_database)) == 1


def test_a_daily_tick_is_due_at_its_hour() -> None:
    tick = Tick(actor="purge_outbox", every=timedelta(days=1), at=timedelta(hours=2))
    midnight = 20_000 * 86400.0
    assert tick.slot(midnight + 2 * HOUR) == tick.slot(midnight + 26 * HOUR - 1) == 20_000
    assert tick.slot(midnight + 2 * HOUR - 1) == 19_999


def test_every_actor_has_a_queue_that_is_consumed_and_every_tick_an_actor(redis_url: str) -> None:
    assert {actor.queue for actor in ACTORS.values()} <= set(QUEUES)
    # What needs no argument is about the whole installation: nothing but the schedule ever asks for it.
    alone = {name for name, actor in ACTORS.items() if len(inspect.signature(actor.run).parameters) == 1}
    assert {tick.actor for tick in TICKS} == alone
    assert JobBroker(redis_url).get_declared_queues() == set(QUEUES)
