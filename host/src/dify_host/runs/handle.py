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
        self._followers: set[asyncio.Event] = set()

    def publish(self, event: Event) -> None:
        """Keep an event and wake whoever waits; the engine's sink."""
        self._events.append(event)
        for follower in self._followers:
            follower.set()

    def finish(self, task: asyncio.Task[RunOutcome]) -> None:
        """Note how the task ended."""
        if task.cancelled():
            self.error = asyncio.CancelledError("The process is shutting down.")
        else:
            self.error = task.exception()
            self.outcome = task.result() if self.error is None else None
        self._done.set()
        for follower in self._followers:
            follower.set()

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

    async def follow(self) -> AsyncIterator[list[Event]]:
        """All events from the first on, in batches of what has come; ends after the last one."""
        position = 0
        wake = asyncio.Event()
        self._followers.add(wake)
        try:
            while True:
                wake.clear()
                if position < len(self._events):
                    batch = self._events[position:]
                    position = len(self._events)
                    yield batch
                    continue
                if self._done.is_set():
                    if self.outcome is None:
                        raise self._broken()
                    return
                await wake.wait()
        finally:
            self._followers.discard(wake)

    def _broken(self) -> BaseException:
        if isinstance(self.error, DifyError):
            return self.error
        cause: Any = self.error
        return DifyError(f"The run ended without a result: {cause}", run_id=self.run.run_id)
