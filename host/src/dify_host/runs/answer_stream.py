"""What clients get of a run whose answer is judged or read out while it is written.

It follows the run in a task of its own: the beginning of an answer is judged, whoever listens. The whole of it is
judged by the run (`last_word`).
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

from dify_kernel.graph.events import Event, StreamChunk

from dify_host.moderation.output_check import OutputCheck
from dify_host.runs.api_events import PING, ApiEvents, server_sent
from dify_host.runs.withheld import Withheld
from dify_host.speech.autoplay import Reader
from dify_host.speech.service import Speak

__all__ = ["AnswerStream", "Followed"]


class Followed(Protocol):
    """A run, or what stands for one."""

    async def wait(self) -> Any:
        """The terminal event; raises when there is none."""
        ...

    def follow(self, *, idle: float | None = None) -> AsyncIterator[list[Event]]:
        """All events in batches."""
        ...

    def stop(self) -> None:
        """End it soon."""
        ...


class AnswerStream:
    """Follows a run to its end. With `stops` a run whose answer is refused is ended at once."""

    def __init__(
        self,
        run: Followed,
        events: ApiEvents,
        *,
        app_id: str,
        check: OutputCheck | None,
        speak: Speak | None,
        stops: bool,
    ) -> None:
        self._run, self._events, self._check, self._stops = run, events, check, stops
        if check is not None:
            check.replaced = self._replaced
        self._reader = Reader(speak, self._play, app_id=app_id) if speak is not None else None
        self._withheld = Withheld(())
        self._sent: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._task = asyncio.create_task(self._pass_on(), name="answer-stream")

    async def wait(self) -> Any:
        """The terminal event; raises what the run raised."""
        await asyncio.shield(self._task)
        return await self._run.wait()

    async def follow(self, *, idle: float) -> AsyncIterator[bytes]:
        """The stream, with a ping for each so many seconds of silence; for one reader."""
        while True:
            try:
                data = await asyncio.wait_for(self._sent.get(), idle)
            except TimeoutError:
                yield PING
                continue
            if data is None:
                await self._task
                return
            yield data

    def when_done(self, told: Callable[[], None]) -> None:
        """Tell when the run has ended; its error is raised where it is waited for or followed."""

        def done(task: asyncio.Task[None]) -> None:
            if not task.cancelled():
                task.exception()
            told()

        self._task.add_done_callback(done)

    async def close(self) -> None:
        """Follow no more."""
        self._task.cancel()
        await asyncio.wait({self._task})

    # -- inside -----------------------------------------------------------------------------------------------

    async def _pass_on(self) -> None:
        try:
            async for batch in self._run.follow():
                for event in batch:
                    self._take(event)
            if self._reader is not None:
                await self._reader.finish()
                self._put(self._events.beside("tts_message_end", audio=""))
        finally:
            if self._reader is not None:
                self._reader.stop()
            self._sent.put_nowait(None)

    def _take(self, event: Event) -> None:
        shown = self._withheld.shown([event])
        if self._check is None or not self._check.closed:
            shown = [event]
            if isinstance(event, StreamChunk):
                self._say(event.text)
        data = self._events.encode(shown)
        if data:
            self._sent.put_nowait(data)

    def _say(self, text: str) -> None:
        if self._check is not None:
            self._check.feed(text)
        if self._reader is not None:
            self._reader.feed(text)

    def _replaced(self, text: str) -> None:
        """Tell at once what takes the place of the answer so far."""
        self._put(self._events.replace(text))
        if self._check is not None and self._check.closed:
            if self._reader is not None:
                self._reader.stop()
            if self._stops:
                self._run.stop()

    def _play(self, sound: bytes) -> None:
        self._put(self._events.beside("tts_message", audio=base64.b64encode(sound).decode()))

    def _put(self, item: Any) -> None:
        """Send what stands for no event of the run; it has no id, as nobody can go on from there."""
        self._sent.put_nowait(server_sent(item))
