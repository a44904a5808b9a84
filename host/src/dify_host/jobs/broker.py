"""The queue: Dramatiq over Redis or Valkey, set so that the jobs of a killed worker are back in seconds.

Delivery is at least once: a job whose worker was silent for `HEARTBEAT_SECONDS` is given to another one, also when the
first was only slow. So every actor bears a repetition.
"""

from __future__ import annotations

import threading
import weakref
from typing import Any

import redis
from dify_kernel.errors import DifyError
from dramatiq.broker import Consumer
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.errors import ConnectionClosed
from dramatiq.middleware import AgeLimit, CurrentMessage, Retries, ShutdownNotifications, TimeLimit
from redis.asyncio import Redis as AsyncRedis

__all__ = ["HEARTBEAT_SECONDS", "NAMESPACE", "QUEUES", "JobBroker", "may_succeed_later", "workers_answer"]

NAMESPACE = "dify"
HEARTBEAT_SECONDS = 8
MAX_RETRIES = 8
#: Every queue there is. Jobs may be written to these alone, and a worker without a list of its own consumes them all.
QUEUES = ("dataset", "priority_dataset", "app_deletion", "retention", "workflow", "schedule_poller", "mail")

# Every call looks for silent workers: a sorted set is asked, which costs nothing beside the call itself. With the
# library's own chance of 0.1 % a quiet system would find them after minutes.
_ALWAYS = 1_000_000
_IDLE_MS = 1000
_RETRYABLE = (ConnectionError, TimeoutError, redis.ConnectionError, redis.TimeoutError)


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
        for queue in QUEUES:
            self.declare_queue(queue)

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = _IDLE_MS) -> Consumer:
        """Create a consumer of a queue that looks each `timeout` milliseconds, and when it is woken."""
        consumer = _WakingConsumer(self, queue_name, prefetch, timeout)
        self._waiting.add(consumer)
        return consumer

    def wake(self) -> None:
        """Make every consumer look at its queue now; safe from any thread."""
        for consumer in list(self._waiting):
            consumer.woken.set()


class _WakingConsumer(_RedisConsumer):
    """Waits on an event instead of asking the server again and again."""

    def __init__(self, broker: JobBroker, queue_name: str, prefetch: int, timeout: int) -> None:
        super().__init__(broker, queue_name, prefetch, timeout)  # type: ignore[no-untyped-call]
        self.woken = threading.Event()

    def __next__(self) -> Any:
        """Return the next message, or None after a wait without one."""
        if not self.message_cache:
            self.woken.clear()
            room = self.prefetch - self.outstanding_message_count
            if room > 0:
                try:
                    self.message_cache = self.broker.do_fetch(self.queue_name, room)
                except redis.ConnectionError as exc:
                    raise ConnectionClosed(exc) from None
            if not self.message_cache:
                self.woken.wait(self.timeout / 1000)
                return None
        return super().__next__()  # type: ignore[no-untyped-call]

    def ack(self, message: Any) -> None:
        """Take a finished message off the queue; there is room for another one now."""
        super().ack(message)  # type: ignore[no-untyped-call]
        self.woken.set()

    def nack(self, message: Any) -> None:
        """Put a failed message aside; there is room for another one now."""
        super().nack(message)  # type: ignore[no-untyped-call]
        self.woken.set()


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
