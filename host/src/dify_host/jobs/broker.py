"""The queue: Dramatiq over Redis or Valkey, set so that the jobs of a killed worker are back in seconds.

Delivery is at least once: a job whose worker was silent for `HEARTBEAT_SECONDS` is given to another one, also when the
first was only slow. So every actor bears a repetition.

A worker that loses the server and finds it again goes on with every job that it had: what it was doing, what it was to
do again later, and what was on its way to it. The library alone forgets the latter two until the worker is restarted.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from dify_kernel.errors import DifyError
from dramatiq import Message
from dramatiq.broker import Consumer
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.errors import ConnectionClosed
from dramatiq.middleware import AgeLimit, CurrentMessage, Retries, ShutdownNotifications, TimeLimit
from redis.asyncio import Redis as AsyncRedis

__all__ = ["HEARTBEAT_SECONDS", "NAMESPACE", "QUEUES", "JobBroker", "may_succeed_later", "workers_answer"]

log = logging.getLogger(__name__)

NAMESPACE = "dify"
HEARTBEAT_SECONDS = 8
MAX_RETRIES = 8
#: Every queue there is. Jobs may be written to these alone, and a worker without a list of its own consumes them all.
QUEUES = ("dataset", "priority_dataset", "app_deletion", "retention", "workflow", "schedule_poller", "mail", "pipeline")

# Every call looks for silent workers: a sorted set is asked, which costs nothing beside the call itself. With the
# library's own chance of 0.1 % a quiet system would find them after minutes.
_ALWAYS = 1_000_000
_IDLE_MS = 1000
_AGAIN_SECONDS = 1.0
_DELAYED = ".DQ"  # how the library ends the name of a queue of jobs that are to be done later
_AWAY = (redis.ConnectionError, redis.TimeoutError)
_RETRYABLE = (ConnectionError, TimeoutError, *_AWAY)


class JobBroker(RedisBroker):
    """The broker of one process; `wake` makes its consumers look at their queues now and not at their next turn."""

    def __init__(self, url: str, *, namespace: str = NAMESPACE) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            url=url,
            namespace=namespace,
            heartbeat_timeout=HEARTBEAT_SECONDS * 1000,
            maintenance_chance=_ALWAYS,
            middleware=[
                AgeLimit(),
                TimeLimit(),
                ShutdownNotifications(),
                Retries(retry_when=may_succeed_later, min_backoff=2000, max_backoff=600_000),
                CurrentMessage(),
            ],
        )
        self._waiting: weakref.WeakSet[_WakingConsumer] = weakref.WeakSet()
        #: Jobs of each queue that threads of this process have in hand, by their ids on the server.
        self.in_hand: dict[str, set[str]] = {}
        for queue in QUEUES:
            self.declare_queue(queue)

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = _IDLE_MS) -> Consumer:
        """Create a consumer of a queue that looks each `timeout` milliseconds, and when it is woken."""
        consumer = _WakingConsumer(self, queue_name, prefetch, timeout)
        self._waiting.add(consumer)
        return consumer

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Put a message on its queue; ConnectionClosed when the server is away.

        One with a delay is a job that has failed and is taken off the queue next: it waits for the server, as nobody
        else would put it back.
        """
        while True:
            try:
                with _server_errors():
                    return super().enqueue(message, delay=delay)
            except ConnectionClosed as exc:
                if delay is None:
                    raise
                log.warning("Job %s is to be tried again and waits for the queue: %s", message.message_id, exc)
            time.sleep(_AGAIN_SECONDS)

    def wake(self) -> None:
        """Make every consumer look at its queue now; safe from any thread."""
        for consumer in list(self._waiting):
            consumer.woken.set()


class _WakingConsumer(_RedisConsumer):
    """Waits on an event instead of asking the server again and again.

    The first thing that it asks for is what an earlier one of this worker and queue was given and lost.
    """

    def __init__(self, broker: JobBroker, queue_name: str, prefetch: int, timeout: int) -> None:
        super().__init__(broker, queue_name, prefetch, timeout)  # type: ignore[no-untyped-call]
        self.woken = threading.Event()
        self._asked = False
        if queue_name.endswith(_DELAYED):
            broker.in_hand.pop(queue_name, None)  # they were in the memory of the thread, which begins anew
        self._in_hand = broker.in_hand.setdefault(queue_name, set())

    def __next__(self) -> Any:
        """Return the next message, or None after a wait without one."""
        if not self.message_cache:
            self.woken.clear()
            with _server_errors():
                self._ask_for_lost()
                room = self.prefetch - self.outstanding_message_count
                if room > 0:
                    self.message_cache = self.broker.do_fetch(self.queue_name, room)
            if not self.message_cache:
                self.woken.wait(self.timeout / 1000)
                return None
        message = super().__next__()  # type: ignore[no-untyped-call]
        if message is not None:
            self._in_hand.add(message.options["redis_message_id"])
        return message

    def ack(self, message: Any) -> None:
        """Take a finished message off the queue; there is room for another one now."""
        with _server_errors():
            super().ack(message)  # type: ignore[no-untyped-call]
        self._let_go(message)

    def nack(self, message: Any) -> None:
        """Put a failed message aside; there is room for another one now."""
        with _server_errors():
            super().nack(message)  # type: ignore[no-untyped-call]
        self._let_go(message)

    def requeue(self, messages: Any) -> None:
        """Give messages back that nobody here is at work on."""
        given = list(messages)
        with _server_errors():
            super().requeue(given)  # type: ignore[no-untyped-call]
        for message in given:
            self._in_hand.discard(message.options["redis_message_id"])

    def _let_go(self, message: Any) -> None:
        self._in_hand.discard(message.options["redis_message_id"])
        self.woken.set()

    def _ask_for_lost(self) -> None:
        """Give back what the server believes this worker to have, and no thread of it has."""
        if self._asked:
            return
        broker = self.broker
        given = broker.client.smembers(f"{broker.namespace}:__acks__.{broker.broker_id}.{self.queue_name}")
        lost = {message_id.decode() for message_id in given} - self._in_hand
        if lost:
            log.warning(
                "%d jobs on %s were lost on their way to this worker; they come again.", len(lost), self.queue_name
            )
            broker.do_requeue(self.queue_name, *lost)
        self._asked = True


@contextmanager
def _server_errors() -> Iterator[None]:
    """What the library's threads take for a lost connection, whatever the client calls it: anything else ends them."""
    try:
        yield
    except _AWAY as exc:
        raise ConnectionClosed(exc) from None


async def workers_answer(client: AsyncRedis, *, namespace: str = NAMESPACE) -> bool:
    """Tell whether any worker spoke to the queue a moment ago; False also when the server does not answer."""
    try:
        seconds, _ = await client.time()
        since = (seconds - HEARTBEAT_SECONDS) * 1000
        return bool(await client.zcount(f"{namespace}:__heartbeats__", since, "+inf"))
    except (redis.RedisError, OSError):
        return False


def may_succeed_later(retries: int, error: BaseException) -> bool:
    """Tell whether a failed job is repeated: only for an error that says so, at most `MAX_RETRIES` times."""
    if retries >= MAX_RETRIES:
        return False
    return error.retryable if isinstance(error, DifyError) else isinstance(error, _RETRYABLE)
