"""Runs of the console as server-sent events; a run goes on when its client does not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from dify_kernel.errors import DifyError
from dify_kernel.graph.events import Event
from litestar.response import Stream

from dify_host.http.errors import error_response
from dify_host.runs.api_events import PING, ApiEvents, ErrorEvent, server_sent

__all__ = ["PING_EVERY", "stream_of"]

PING_EVERY: Final = 10.0
_HEADERS: Final = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


def stream_of(events: ApiEvents, batches: AsyncIterator[list[Event]]) -> Stream:
    """The events of a run as they come; an empty batch is a ping."""
    return Stream(_encoded(events, batches), media_type="text/event-stream", headers=_HEADERS)


async def _encoded(events: ApiEvents, batches: AsyncIterator[list[Event]]) -> AsyncIterator[bytes]:
    try:
        async for batch in batches:
            data = events.encode(batch) if batch else PING
            if data:
                yield data
    except DifyError as exc:
        body = error_response(exc).content
        yield server_sent(ErrorEvent(code=body.code, message=body.message, status=body.status))
