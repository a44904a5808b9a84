"""Streams of server-sent events: raw bytes, pings while nothing happens, and no harm when a client goes away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from dify_kernel.errors import DifyError
from litestar.response import Stream

from dify_host.http.errors import error_response
from dify_host.runs.api_events import PING, ErrorEvent, server_sent
from dify_host.runs.service import StartedRun

__all__ = ["event_stream"]

_HEADERS: Final = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
_PING_EVERY: Final = 10.0


def event_stream(started: StartedRun) -> Stream:
    """The run as a stream; the run goes on when the client does not."""
    return Stream(_pinged(_events(started)), media_type="text/event-stream", headers=_HEADERS)


async def _events(started: StartedRun) -> AsyncIterator[bytes]:
    try:
        async for batch in started.handle.follow():
            data = started.events.encode(batch)
            if data:
                yield data
    except DifyError as exc:
        body = error_response(exc).content
        yield server_sent(ErrorEvent(code=body.code, message=body.message, status=body.status))


async def _pinged(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The events, with a ping for every ten seconds of silence."""
    pending: asyncio.Future[bytes] | None = None
    try:
        while True:
            pending = pending or asyncio.ensure_future(anext(events))
            if not pending.done():
                await asyncio.wait((pending,), timeout=_PING_EVERY)
            if not pending.done():
                yield PING
                continue
            try:
                data = pending.result()
            except StopAsyncIteration:
                return
            pending = None
            yield data
    finally:
        if pending is not None:
            pending.cancel()
