"""Sends jobs from the outbox to the queue. Any number of relays may run; a job is claimed by one at a time.

A committed job is announced on the bus, so a relay has it in milliseconds; without the announcement it looks every
`POLL_SECONDS`, with one small query while nothing waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from dify_kernel.errors import DifyError
from dramatiq import Message
from dramatiq.errors import BrokerConnectionError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from dify_host.db.engine import Database
from dify_host.db.outbox import Job, claim_batch, has_unsent, mark_sent
from dify_host.jobs.actors import ACTORS
from dify_host.jobs.broker import NAMESPACE, QUEUES, JobBroker

__all__ = ["POLL_SECONDS", "Relay", "announce_jobs"]

log = logging.getLogger(__name__)

POLL_SECONDS = 2.0
_BATCH = 100
_RETRY_SECONDS = 1.0
_LISTEN_SECONDS = 30.0


def announce_jobs(db: Database, redis: Redis, *, namespace: str = NAMESPACE) -> None:
    """Make this process announce the jobs that it commits; a lost announcement only costs time."""
    sending: set[asyncio.Task[None]] = set()

    def announce() -> None:
        task = asyncio.get_running_loop().create_task(_publish(redis, _written(namespace)))
        sending.add(task)
        task.add_done_callback(sending.discard)

    db.on_jobs = announce


class Relay:
    """The relay of one worker: moves jobs until it is cancelled, and wakes the consumers of every worker."""

    def __init__(self, db: Database, redis: Redis, broker: JobBroker) -> None:
        self._db, self._redis, self._broker = db, redis, broker
        self._written, self._queued = _written(broker.namespace), _queued(broker.namespace)
        self._announced = asyncio.Event()
        self._known: frozenset[str] = frozenset(ACTORS) | frozenset(broker.actors)
        self._complained: set[str] = set()

    async def run(self) -> None:
        """Move jobs and listen to announcements; failures of database or bus are logged and outlived."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._forever(self._listen))
            group.create_task(self._forever(self._move))

    async def move_batch(self) -> int:
        """Send the jobs that are due, up to a hundred, and return how many were claimed."""
        jobs = await claim_batch(self._db, limit=_BATCH)
        sendable = [job for job in jobs if self._can_send(job)]
        if sendable:
            await asyncio.to_thread(self._send, sendable)
            await mark_sent(self._db, [job.id for job in sendable])
            await _publish(self._redis, self._queued)
        return len(jobs)

    async def _move(self) -> None:
        self._announced.clear()
        if await has_unsent(self._db) and await self.move_batch():
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._announced.wait(), POLL_SECONDS)

    async def _listen(self) -> None:
        async with self._redis.pubsub() as channel:
            await channel.subscribe(self._written, self._queued)
            # A wait of our own, shorter than what the client or a firewall takes for a dead connection.
            while True:
                message = await channel.get_message(ignore_subscribe_messages=True, timeout=_LISTEN_SECONDS)
                if message is None:
                    continue
                if message["channel"] == self._written.encode():
                    self._announced.set()
                else:
                    self._broker.wake()

    def _can_send(self, job: Job) -> bool:
        """Leave a job that nobody here can do in the outbox, where a newer version finds it."""
        if job.actor in self._known and job.queue in QUEUES:
            return True
        name = f"{job.actor} on queue {job.queue}"
        if name not in self._complained:
            self._complained.add(name)
            log.error("Job %s (%s) stays in the outbox: this version has no such actor or queue.", job.id, name)
        return False

    def _send(self, jobs: list[Job]) -> None:
        for job in jobs:
            positional = job.args if isinstance(job.args, list) else []
            named = job.args if isinstance(job.args, dict) else {}
            message: Message[Any] = Message(
                queue_name=job.queue,
                actor_name=job.actor,
                args=tuple(positional),
                kwargs=named,
                options={},
                message_id=job.id,
            )
            self._broker.enqueue(message)

    async def _forever(self, step: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while True:
            try:
                await step()
            except (DifyError, RedisError, BrokerConnectionError, OSError) as exc:
                log.warning("The outbox relay waits: %s: %s", type(exc).__name__, exc)
                await asyncio.sleep(_RETRY_SECONDS)


def _written(namespace: str) -> str:
    """Return the channel on which committed jobs are announced."""
    return f"{namespace}:written"


def _queued(namespace: str) -> str:
    """Return the channel on which jobs that reached the queue are announced."""
    return f"{namespace}:queued"


async def _publish(redis: Redis, channel: str) -> None:
    try:
        await redis.publish(channel, b"")
    except (RedisError, OSError) as exc:
        log.debug("An announcement was lost: %s", exc)
