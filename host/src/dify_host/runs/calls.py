"""One call of an app, whoever makes it: what comes before the run, the run, and what its stream passes through.

Every door (Service API, web page, console) starts runs here, so that moderation, annotations, names of conversations
and speech are the same behind each.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final, Protocol

import msgspec

from dify_host.db.tenant import Tenant
from dify_host.db.writer import BatchWriter
from dify_host.moderation.output_check import OutputCheck
from dify_host.runs.answer_stream import AnswerStream, Followed
from dify_host.runs.answered import Answers, GivenAnswer
from dify_host.runs.api_events import PING, ApiEvents
from dify_host.runs.asides import Asides
from dify_host.runs.before import Answered, Before
from dify_host.runs.context import RunContext
from dify_host.runs.live_apps import LiveApp
from dify_host.runs.message_rows import MessageSpec
from dify_host.runs.naming import Naming
from dify_host.runs.service import RunRequest, RunService, StartedRun
from dify_host.speech.service import Speak, Speech

__all__ = ["AppCall", "AppCalls", "Rooms", "opening"]

_NAME: Final = re.compile(r"\{\{([A-Za-z_][A-Za-z0-9_]{0,29})\}\}")
_PATIENCE: Final = 5.0  # seconds that the end of an answer waits for the name of its conversation


class Rooms(Protocol):
    """The services of one workspace that a call needs."""

    @property
    def before(self) -> Before:
        """What happens before a run."""
        ...

    @property
    def asides(self) -> Asides:
        """What is asked beside it."""
        ...

    @property
    def speech(self) -> Speech:
        """What reads answers out."""
        ...


def opening(statement: str, inputs: Mapping[str, Any]) -> str:
    """What an app says first, with the inputs in the place of their names; a name without one stays as it is."""
    return _NAME.sub(lambda found: str(inputs[found[1]]) if found[1] in inputs else found[0], statement)


class _Begun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that was started, or an answer that was given; `check` judges what it says."""

    run: Followed
    task_id: str
    spec: MessageSpec | None
    events: ApiEvents
    created_at: float
    check: OutputCheck | None = None


class AppCall:
    """A call under way: wait for its end, or follow it. `spec` is its message, None for a workflow."""

    def __init__(self, begun: _Begun, stream: AnswerStream | None, naming: asyncio.Task[None] | None) -> None:
        self.task_id, self.spec, self.events = begun.task_id, begun.spec, begun.events
        self.created_at = begun.created_at
        self._run, self._stream, self._naming = begun.run, stream, naming

    async def wait(self) -> Any:
        """The terminal event, its answer as it is kept; raises when the run could not reach one.

        What a run waits for, whose status is `paused`, is in `events.paused`.
        """
        finished = await (self._stream or self._run).wait()
        outcome = getattr(self._run, "outcome", None)
        if self.spec is not None and outcome is not None:
            self.events.cite(outcome.resources)
        if getattr(finished, "status", "") == "paused" and not self.events.paused:
            async for batch in self._run.follow():
                for event in batch:
                    self.events.convert(event)
        await self._named(finished)
        return finished

    async def follow(self, *, idle: float) -> AsyncIterator[bytes]:
        """The server-sent events, with a ping for each so many seconds of silence; for one reader.

        Some pieces are empty. None is held here while the reader has it, or waits.
        """
        if self._stream is not None:
            async for data in self._stream.follow(idle=idle):
                yield data
        else:
            async for batch in self._run.follow(idle=idle):
                yield self.events.encode(batch) if batch else PING
        if self._naming is not None:
            await self._named(await self._run.wait())

    async def _named(self, finished: Any) -> None:
        """Who lists conversations after the end of an answer finds the new one's name."""
        succeeded = getattr(finished, "status", "") in ("succeeded", "partial-succeeded")
        if self._naming is not None and succeeded:
            await asyncio.wait({self._naming}, timeout=_PATIENCE)


class AppCalls:
    """Starts calls. `rooms` gives the services of a workspace."""

    def __init__(
        self,
        runs: RunService,
        answers: Answers,
        writer: BatchWriter,
        *,
        rooms: Callable[[Tenant], Awaitable[Rooms]],
    ) -> None:
        self._runs, self._answers, self._rooms = runs, answers, rooms
        self._naming = Naming(writer)
        self._streams: set[AnswerStream] = set()

    async def start(
        self, live: LiveApp, request: RunRequest, *, auto_name: bool = True, plays: bool = False
    ) -> AppCall:
        """Begin; the run lives on without its caller. `plays` reads the answer out where the app wants it.

        Raises what `Before.prepare` and `RunService.start` raise.
        """
        rooms = await self._rooms(request.tenant)
        begun = await self._begin(live, msgspec.structs.replace(request, names=auto_name))
        speak = await rooms.speech.reader_of(live.program.features) if plays else None
        stream = self._stream(live, begun, speak)
        naming = self._naming.begin(rooms.asides.name, begun.run, begun.spec) if auto_name else None
        return AppCall(begun, stream, naming)

    async def prepare(self, live: LiveApp, request: RunRequest) -> GivenAnswer | RunRequest:
        """What comes before a run that somebody else starts: the answer that takes its place, or what to run."""
        request = msgspec.structs.replace(request, introduction=opening(live.introduction, request.inputs))
        prepared = await (await self._rooms(request.tenant)).before.prepare(live, request)
        return await self._answers.give(live, prepared) if isinstance(prepared, Answered) else prepared.request

    def recovered(self, started: StartedRun, context: RunContext) -> None:
        """Do here what the lost process of a run was about to do beside it."""
        if context.names:
            self._naming.begin(partial(self._name, context.tenant), started.handle, started.spec)

    async def _name(self, tenant: Tenant, query: str) -> str | None:
        return await (await self._rooms(tenant)).asides.name(query)

    async def close(self) -> None:
        """Pass nothing more on; what runs goes on without."""
        await self._naming.close()
        for stream in list(self._streams):
            await stream.close()

    async def _begin(self, live: LiveApp, request: RunRequest) -> _Begun:
        given = await self.prepare(live, request)
        if isinstance(given, GivenAnswer):
            spec = given.spec
            return _Begun(run=given, task_id=given.task_id, spec=spec, events=given.events, created_at=spec.created_at)
        started = await self._runs.start(live.program, given)
        return _Begun(
            run=started.handle,
            task_id=started.handle.run.run_id,
            spec=started.spec,
            events=started.events,
            created_at=started.created_at,
            check=started.check,
        )

    def _stream(self, live: LiveApp, begun: _Begun, speak: Speak | None) -> AnswerStream | None:
        """What the answer passes through; None when nobody judges it or reads it out."""
        if begun.check is None and speak is None:
            return None
        stream = AnswerStream(
            begun.run,
            begun.events,
            app_id=live.app.id,
            check=begun.check,
            speak=speak,
            stops=not live.program.is_workflow,
        )
        self._streams.add(stream)
        stream.when_done(lambda: self._streams.discard(stream))
        return stream
