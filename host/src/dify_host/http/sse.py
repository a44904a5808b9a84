"""Streams of server-sent events: raw bytes, pings while nothing happens, and no harm when a client goes away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from dify_kernel.errors import DifyError
from litestar.response import Stream

from dify_host.http.errors import error_response
from dify_host.runs.api_events import ErrorEvent, server_sent
from dify_host.runs.calls import AppCall

__all__ = ["event_stream"]

_HEADERS: Final = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
_PING_EVERY: Final = 10.0


def event_stream(call: AppCall) -> Stream:
    """The call as a stream; its run goes on when the client does not."""
    return Stream(_events(call), media_type="text/event-stream", headers=_HEADERS)


async def _events(call: AppCall) -> AsyncIterator[bytes]:
    try:
        async for data in call.follow(idle=_PING_EVERY):
            yield data
    except DifyError as exc:
        body = error_response(exc).content
        yield server_sent(ErrorEvent(code=body.code, message=body.message, status=body.status))
