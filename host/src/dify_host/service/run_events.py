"""The stream of a run that is under way elsewhere, taken up again: after a lost connection, a pause, a restart."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from dify_kernel.errors import BadInput, NotFound
from dify_kernel.graph.events import Event, RunFinished
from litestar import Controller, get
from litestar.params import FromQuery, HeaderParameter, QueryParameter
from litestar.response import Stream

from dify_host.http.callers import AppKey, Call, platform_of
from dify_host.http.sse import PING_EVERY, EventStream
from dify_host.runs.api_events import PING, ApiEvents
from dify_host.runs.context import RunContext, read_context
from dify_host.runs.run_streams import ALL_PIECES, Position
from dify_host.runs.withheld import Withheld, has_passed
from dify_host.service.shapes import IdInPath

__all__ = ["RunEventController"]

Snapshot = Annotated[bool, QueryParameter(description="Begin at the beginning of the run, unless an id is given.")]
ThroughPauses = Annotated[bool, QueryParameter(description="Go on when the run waits for somebody, to its end.")]
LastId = Annotated[str | None, QueryParameter(description="As `Last-Event-ID`, for clients that send no such header.")]
LastSeen = Annotated[
    str | None, HeaderParameter(name="Last-Event-ID", description="The id of the last event that the client has seen.")
]
_POSITION: Final = re.compile(r"(\d{1,15})(?:-(\d{1,15})(?:\.(\d))?)?")


class RunEventController(Controller):
    """Routes of the events of runs."""

    path = "/"
    tags = ("Runs",)

    @get(
        [
            "/workflow/{task_id:uuid}/events",
            "/chat-messages/{task_id:uuid}/events",
            "/completion-messages/{task_id:uuid}/events",
        ]
    )
    async def events(
        self,
        task_id: IdInPath,
        caller: AppKey,
        request: Call,
        user: FromQuery[str],
        include_state_snapshot: Snapshot = False,
        continue_on_pause: ThroughPauses = False,
        last_event_id: LastId = None,
        last_event: LastSeen = None,
    ) -> Stream:
        """Go on with the stream of a run of this user behind `Last-Event-ID` (or `last_event_id`).

        Without one it begins now: with the end alone when the run is over. `include_state_snapshot` begins at the
        beginning. It closes when the run waits for somebody, unless `continue_on_pause`. An answer that is judged comes
        whole at its end, as `message_replace`.
        """
        platform = platform_of(request)
        creator = await caller.creator(user, required=True)
        run_id = str(task_id)
        log = await platform.run_logs.load(run_id)
        context = read_context(log) if log else None
        if context is None or not _owned(context, caller.app_id, creator.id):
            raise NotFound("Workflow run not found.", workflow_run_id=run_id)
        after, items = _position(last_event or last_event_id)
        if after is None:
            after = (0, 0) if include_state_snapshot else _now(log)
        held_back = Withheld(log) if context.judged and not has_passed(log) else None
        events = platform.runs.events_of(context, judged=held_back is not None)
        for event in log:
            if event.seq <= after[0]:
                events.convert(event)
        events.skip(items)
        batches = platform.follower.follow(run_id, after=after, idle=PING_EVERY, through_pauses=continue_on_pause)
        return EventStream(_stream(batches, events, held_back))


async def _stream(
    batches: AsyncIterator[list[Event]], events: ApiEvents, held_back: Withheld | None
) -> AsyncIterator[bytes]:
    """The batches as they are sent; of an answer that is judged only what may be seen."""
    if held_back is None:
        async for batch in batches:
            yield events.encode(batch) if batch else PING
        return
    sent = time.monotonic()
    async for batch in batches:
        data = events.encode(held_back.shown(batch)) or PING
        if data != PING or time.monotonic() - sent >= PING_EVERY:
            sent = time.monotonic()
            yield data


def _owned(context: RunContext, app_id: str, user_id: str) -> bool:
    return context.run.app_id == app_id and context.creator.id == user_id


def _now(log: list[Any]) -> Position:
    """Behind all that has happened, but for the end."""
    last = log[-1]
    return (last.seq - 1, ALL_PIECES) if isinstance(last, RunFinished) else (last.seq, 0)


def _position(text: str | None) -> tuple[Position | None, int]:
    """The position that an id names, and how many items of the event behind it the client has."""
    if not text:
        return None, 0
    found = _POSITION.fullmatch(text.strip())
    if found is None:
        raise BadInput("Last-Event-ID is not an id of this stream.", hint="Ids look like 12-3.", field="last_event_id")
    seq, offset, items = int(found[1]), int(found[2] or 0), int(found[3] or 0)
    return ((seq - 1, ALL_PIECES) if items else (seq, offset)), items
