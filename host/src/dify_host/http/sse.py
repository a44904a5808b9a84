"""Streams of server-sent events: raw bytes, pings while nothing happens, and no harm when a client goes away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Final, TypeVar

from dify_kernel.errors import DifyError
from litestar.response import Stream

from dify_host.http.errors import error_response
from dify_host.runs.api_events import ErrorEvent, server_sent
from dify_host.runs.calls import AppCall

__all__ = ["PING_EVERY", "STREAM_HEADERS", "event_stream", "told"]

STREAM_HEADERS: Final = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
PING_EVERY: Final = 10.0
T = TypeVar("T")


def event_stream(call: AppCall) -> Stream:
    """The call as a stream; its run goes on when the client does not."""
    stream = told(call.follow(idle=PING_EVERY), lambda data: data)
    return Stream(stream, media_type="text/event-stream", headers=STREAM_HEADERS)


async def told(batches: AsyncIterator[T], encode: Callable[[T], bytes]) -> AsyncIterator[bytes]:
    """What batches put on the wire; an error becomes the last event."""
    try:
        async for batch in batches:
            if data := encode(batch):
                yield data
    except DifyError as exc:
        body = error_response(exc).content
        yield server_sent(ErrorEvent(code=body.code, message=body.message, status=body.status))
