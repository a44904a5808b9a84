"""A run of this process: its task, its events so far, and everybody who follows them.

Followers see an event when it is durable, and a piece of text when the event before it is: what a client was told
stays true, whichever process is killed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Protocol

from dify_kernel.contracts.node import RunInfo
from dify_kernel.errors import DifyError, RunFenced
from dify_kernel.graph.engine import Engine, RunOutcome
from dify_kernel.graph.events import Event, RunFinished, RunPaused, RunResumed, StreamChunk

__all__ = ["Elsewhere", "RunHandle", "Watcher", "as_end"]


class Watcher(Protocol):
    """Is told of what followers may see, as they are."""

    def visible(self, run_id: str, events: list[Event]) -> None:
        """These events of a run are visible now; it must not block."""
        ...


class Elsewhere(Protocol):
    """Follows runs of other processes."""

    def follow(
        self, run_id: str, *, after: tuple[int, int] = (0, 0), idle: float | None = None
    ) -> AsyncIterator[list[Event]]:
        """The events of a run behind a position."""
        ...

    async def wait(self, run_id: str) -> RunFinished | RunPaused:
        """How a run ends."""
        ...

    async def begun(self, run_id: str) -> bool:
        """Whether the start of a run was written."""
        ...


def as_end(event: RunFinished | RunPaused) -> RunFinished:
    """How a run stands, for whoever waited for it: a run that waits for somebody has the status `paused`."""
    if isinstance(event, RunFinished):
        return event
    return RunFinished(
        seq=event.seq,
        at=event.at,
        status="paused",
        outputs=event.outputs,
        elapsed_time=event.elapsed_time,
        total_tokens=event.total_tokens,
        total_steps=event.total_steps,
    )


class RunHandle:
    """Follows one engine. Any number of readers may come and go; the run goes on without them.

    `held` keeps events back until `durable` says that they are in the log.
    """

    def __init__(
        self,
        run: RunInfo,
        *,
        user_id: str,
        held: bool = False,
        watcher: Watcher | None = None,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self.run = run
        self.user_id = user_id
        self.engine: Engine | None = None
        self.outcome: RunOutcome | None = None
        self.error: BaseException | None = None
        self._events: list[Event] = []
        self._shown = 0
        self._durable: float = 0 if held else float("inf")
        self._watcher, self._elsewhere = watcher, elsewhere
        self._text = ""
        self._over = False
        self._waiters: list[asyncio.Future[None]] = []
        self._followers: list[_Follower] = []

    def publish(self, event: Event) -> None:
        """Keep an event, and show it when it may be seen; the engine's sink."""
        self._events.append(event)
        if isinstance(event, RunResumed):
            self._text = event.text
        if event.seq <= self._durable:
            self._show()

    def durable(self, seq: int) -> None:
        """The log has everything up to here."""
        if seq > self._durable:
            self._durable = seq
            self._show()

    def _show(self) -> None:
        events, first = self._events, self._shown
        while self._shown < len(events) and events[self._shown].seq <= self._durable:
            self._shown += 1
        if self._shown == first:
            return
        if self._watcher is not None:
            self._watcher.visible(self.run.run_id, events[first : self._shown])
        for follower in self._followers:
            follower.wake()

    def finish(self, task: asyncio.Task[RunOutcome]) -> None:
        """Note how the task ended."""
        if task.cancelled():
            self.error = asyncio.CancelledError("The process is shutting down.")
        else:
            self.error = task.exception()
            self.outcome = task.result() if self.error is None else None
        if self.outcome is not None:
            self.durable(self.outcome.event.seq)
        self._over = True
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        for follower in self._followers:
            follower.wake()

    def text(self) -> str:
        """What its answers have streamed so far."""
        return self._text + "".join(event.text for event in self._events if isinstance(event, StreamChunk))

    def stop(self) -> None:
        """End the run soon."""
        if self.engine is not None:
            self.engine.stop()

    async def wait(self) -> RunFinished:
        """How the run ended, or that it waits for somebody; raises when it could come to neither here."""
        if not self._over:
            self._waiters.append(waiter := asyncio.get_running_loop().create_future())
            await waiter
        if self.outcome is not None:
            return as_end(self.outcome.event)
        return as_end(await (await self._next()).wait(self.run.run_id))

    async def follow(self, *, idle: float | None = None) -> AsyncIterator[list[Event]]:
        """All events from the first on, in batches of what has come; ends after the last one.

        With `idle` comes an empty batch for each so many seconds of silence. A run that this process had to let go is
        followed on to where it goes on.
        """
        position = 0
        follower = _Follower(idle)
        self._followers.append(follower)
        try:
            while True:
                if position < self._shown:
                    first, position = position, self._shown
                    yield self._events[first:position]
                elif self._over:
                    break
                elif not await follower.woken():
                    yield []
        finally:
            self._followers.remove(follower)
            follower.close()
        if self.outcome is not None:
            return
        elsewhere = await self._next()
        async for batch in elsewhere.follow(self.run.run_id, after=self._position(), idle=idle):
            yield batch

    def _position(self) -> tuple[int, int]:
        """Up to where its followers have come."""
        last = self._events[self._shown - 1] if self._shown else None
        if last is None:
            return (0, 0)
        return (last.seq, last.offset if isinstance(last, StreamChunk) else 0)

    async def _next(self) -> Elsewhere:
        """Where the run goes on; raises what ended it here when it does not, or never began."""
        if self._elsewhere is None or not self._goes_on():
            raise self._broken()
        if not self._shown and not await self._elsewhere.begun(self.run.run_id):
            raise self._broken()
        return self._elsewhere

    def _goes_on(self) -> bool:
        """Whether another process will have the run: its log could not be written here, or is another's now."""
        retryable = isinstance(self.error, DifyError) and self.error.retryable
        return retryable or isinstance(self.error, RunFenced)

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
