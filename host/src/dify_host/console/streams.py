"""Runs of the console as server-sent events; a run goes on when its client does not."""

from __future__ import annotations

from collections.abc import AsyncIterator

from dify_kernel.graph.events import Event
from litestar.response import Stream

from dify_host.http.sse import PING_EVERY, EventStream
from dify_host.runs.api_events import PING, ApiEvents

__all__ = ["PING_EVERY", "stream_of"]


def stream_of(events: ApiEvents, batches: AsyncIterator[list[Event]]) -> Stream:
    """The events of a run as they come; an empty batch is a ping."""
    return EventStream(_encoded(events, batches))


async def _encoded(events: ApiEvents, batches: AsyncIterator[list[Event]]) -> AsyncIterator[bytes]:
    async for batch in batches:
        yield events.encode(batch) if batch else PING
