"""A run of this process: its task, its events so far, and everybody who follows them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from dify_kernel.contracts.node import RunInfo
from dify_kernel.errors import DifyError
from dify_kernel.graph.engine import Engine, RunOutcome
from dify_kernel.graph.events import Event, RunFinished, StreamChunk

__all__ = ["RunHandle"]


class RunHandle:
    """Follows one engine. Any number of readers may come and go; the run goes on without them."""

    def __init__(self, run: RunInfo, *, user_id: str) -> None:
        self.run = run
        self.user_id = user_id
        self.engine: Engine | None = None
        self.outcome: RunOutcome | None = None
        self.error: BaseException | None = None
        self._events: list[Event] = []
        self._done = asyncio.Event()
        self._followers: set[_Follower] = set()

    def publish(self, event: Event) -> None:
        """Keep an event and wake whoever waits; the engine's sink."""
        self._events.append(event)
        for follower in self._followers:
            follower.wake()

    def finish(self, task: asyncio.Task[RunOutcome]) -> None:
        """Note how the task ended."""
        if task.cancelled():
            self.error = asyncio.CancelledError("The process is shutting down.")
        else:
            self.error = task.exception()
            self.outcome = task.result() if self.error is None else None
        self._done.set()
        for follower in self._followers:
            follower.wake()

    def text(self) -> str:
        """What its answers have streamed so far."""
        return "".join(event.text for event in self._events if isinstance(event, StreamChunk))

    def stop(self) -> None:
        """End the run soon."""
        if self.engine is not None:
            self.engine.stop()

    async def wait(self) -> RunFinished:
        """The terminal event; raises when the run could not reach one."""
        await self._done.wait()
        if self.outcome is None:
            raise self._broken()
        return self.outcome.event

    async def follow(self, *, idle: float | None = None) -> AsyncIterator[list[Event]]:
        """All events from the first on, in batches of what has come; ends after the last one.

        With `idle` comes an empty batch for each so many seconds of silence.
        """
        position = 0
        follower = _Follower(idle)
        self._followers.add(follower)
        try:
            while True:
                if position < len(self._events):
                    batch = self._events[position:]
                    position = len(self._events)
                    yield batch
                elif self._done.is_set():
                    if self.outcome is None:
                        raise self._broken()
                    return
                elif not await follower.woken():
                    yield []
        finally:
            self._followers.discard(follower)
            follower.close()

    def _broken(self) -> BaseException:
        if isinstance(self.error, DifyError):
            return self.error
        cause: Any = self.error
        return DifyError(f"The run ended without a result: {cause}", run_id=self.run.run_id)


class _Follower:
    """One reader that waits. A token costs it neither task nor timer: one timer looks how long it has been quiet."""

    __slots__ = ("_idle", "_loop", "_since", "_timer", "_waiter")

    def __init__(self, idle: float | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._idle = idle
        self._since = 0.0
        self._waiter: asyncio.Future[bool] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def wake(self) -> None:
        """Something happened."""
        self._end(True)

    async def woken(self) -> bool:
        """Return True when something happens, False after `idle` seconds in which nothing did."""
        self._waiter = self._loop.create_future()
        self._since = self._loop.time()
        if self._idle is not None and self._timer is None:
            self._timer = self._loop.call_later(self._idle, self._look, self._idle)
        try:
            return await self._waiter
        finally:
            self._waiter = None

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self, idle: float) -> None:
        left = self._since + idle - self._loop.time() if self._waiter is not None else idle
        if left > 0:
            self._timer = self._loop.call_later(left, self._look, idle)
            return
        self._timer = None
        self._end(False)

    def _end(self, woken: bool) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(woken)
