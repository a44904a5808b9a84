"""What clients get of a run whose answer is judged or read out while it is written.

It follows the run in a task of its own: the answer is judged, and what is kept of it is right, whoever listens.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

import msgspec
from dify_kernel.errors import DifyError
from dify_kernel.graph.events import Event, RunFinished, StreamChunk

from dify_host.db.types import encode_json
from dify_host.moderation.judge import Judge
from dify_host.moderation.output_check import OutputCheck
from dify_host.runs.api_events import PING, ApiEvents, server_sent
from dify_host.speech.autoplay import Reader
from dify_host.speech.service import Speak

__all__ = ["AnswerStream", "Followed", "answer_text"]


class Followed(Protocol):
    """A run, or what stands for one."""

    async def wait(self) -> Any:
        """The terminal event; raises when there is none."""
        ...

    def follow(self, *, idle: float | None = None) -> AsyncIterator[list[Event]]:
        """All events in batches."""
        ...

    def text(self) -> str:
        """What its answers have streamed so far."""
        ...

    def stop(self) -> None:
        """End it soon."""
        ...


def answer_text(finished: RunFinished, streamed: str) -> str:
    """The answer that a message keeps of a run."""
    answer = finished.outputs.get("answer", "")
    if finished.status == "stopped":
        answer = streamed or answer
    return answer if isinstance(answer, str) else encode_json(answer)


class AnswerStream:
    """Follows a run; `keep` changes columns of its message once the run has ended.

    A judge that fails fails the message: the answer is not kept, and the stream ends with the error.
    """

    def __init__(
        self,
        run: Followed,
        events: ApiEvents,
        *,
        app_id: str,
        judge: Judge | None,
        buffer: int,
        speak: Speak | None,
        keep: Callable[[dict[str, Any]], Awaitable[None]],
        stops: bool,
    ) -> None:
        self._run, self._events, self._keep, self._stops = run, events, keep, stops
        self._check = OutputCheck(judge, buffer=buffer, replaced=self._replaced) if judge is not None else None
        self._reader = Reader(speak, self._play, app_id=app_id) if speak is not None else None
        self._sent: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._replacement: bytes | None = None
        self._ending = False
        self._task = asyncio.create_task(self._pass_on(), name="answer-stream")

    async def wait(self) -> Any:
        """The terminal event with the answer as it is kept; raises what the run or the judge raised."""
        finished = await asyncio.shield(self._task)
        return await self._run.wait() if finished is None else finished

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

        def done(task: asyncio.Task[RunFinished | None]) -> None:
            if not task.cancelled():
                task.exception()
            told()

        self._task.add_done_callback(done)

    async def close(self) -> None:
        """Follow no more."""
        self._task.cancel()
        await asyncio.wait({self._task})

    # -- inside -----------------------------------------------------------------------------------------------

    async def _pass_on(self) -> RunFinished | None:
        finished = None
        try:
            async for batch in self._run.follow():
                for event in batch:
                    if isinstance(event, RunFinished):
                        finished = await self._end(event)
                    else:
                        self._take(event)
            if self._reader is not None:
                await self._reader.finish()
                self._put(self._events.beside("tts_message_end", audio=""))
        finally:
            for part in (self._check, self._reader):
                if part is not None:
                    part.stop()
            self._sent.put_nowait(None)
        return finished

    def _take(self, event: Event) -> None:
        if isinstance(event, StreamChunk):
            if self._check is not None:
                if self._check.closed:
                    return
                self._check.feed(event.text)
            if self._reader is not None:
                self._reader.feed(event.text)
        self._encoded(event)

    async def _end(self, event: RunFinished) -> RunFinished:
        self._ending = True
        if self._check is not None:
            answer = answer_text(event, self._run.text())
            try:
                instead = await self._check.finish(answer)
            except DifyError as exc:
                await self._run.wait()
                await self._keep({"answer": "", "status": "error", "error": exc.description})
                raise
            if instead is not None:
                await self._run.wait()  # the rows of the end are written before they are changed
                await self._keep({"answer": instead})
                event = msgspec.structs.replace(event, outputs={**event.outputs, "answer": instead})
        if self._replacement is None:
            self._encoded(event)
            return event
        *before, last = self._events.convert(event)
        for item in before:
            self._put(item)
        self._sent.put_nowait(self._replacement)
        self._put(last)
        return event

    def _replaced(self, text: str) -> None:
        """Tell what takes the answer's place: at once, and at the end between the graph's end and the message's."""
        replacement = server_sent(self._events.beside("message_replace", answer=text, reason="output_moderation"))
        if self._ending:
            self._replacement = replacement
            return
        self._sent.put_nowait(replacement)
        if self._check is not None and self._check.closed:
            if self._reader is not None:
                self._reader.stop()
            if self._stops:
                self._run.stop()

    def _play(self, sound: bytes) -> None:
        self._put(self._events.beside("tts_message", audio=base64.b64encode(sound).decode()))

    def _encoded(self, event: Event) -> None:
        data = self._events.encode([event])
        if data:
            self._sent.put_nowait(data)

    def _put(self, item: Any) -> None:
        self._sent.put_nowait(server_sent(item))
