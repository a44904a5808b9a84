"""Streams of server-sent events: raw bytes, pings while nothing happens, and no harm when a client goes away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from typing import Any, Final, cast

from dify_kernel.errors import DifyError
from litestar.background_tasks import BackgroundTask, BackgroundTasks
from litestar.datastructures import Cookie
from litestar.enums import MediaType
from litestar.response import Stream
from litestar.response.streaming import ASGIStreamingResponse
from litestar.types import HTTPResponseBodyEvent, Receive, Send

from dify_host.http.errors import error_response
from dify_host.runs.api_events import ErrorEvent, server_sent
from dify_host.runs.calls import AppCall

__all__ = ["PING_EVERY", "EventStream", "event_stream"]

_HEADERS: Final = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
PING_EVERY: Final = 10.0
Background = BackgroundTask | BackgroundTasks | None


def event_stream(call: AppCall) -> Stream:
    """The call as a stream; its run goes on when the client does not."""
    return EventStream(call.follow(idle=PING_EVERY))


class EventStream(Stream):
    """Pieces of a stream of events as they come, empty ones left out; an error becomes the last event."""

    __slots__ = ("_pieces",)

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        super().__init__(pieces, media_type="text/event-stream", headers=_HEADERS)
        self._pieces = pieces

    def to_asgi_response(
        self,
        *_: Any,
        background: Background = None,
        cookies: Iterable[Cookie] | None = None,
        headers: dict[str, str] | None = None,
        is_head_response: bool = False,
        media_type: MediaType | str | None = None,
        status_code: int | None = None,
        **__: Any,
    ) -> ASGIStreamingResponse:
        """What sends it, in place of the framework's own."""
        return _Sending(
            iterator=self._pieces,
            background=self.background or background,
            cookies=[*self.cookies, *(cookies or ())],
            headers={**(headers or {}), **self.headers},
            is_head_response=is_head_response,
            media_type=self.media_type or media_type,
            status_code=self.status_code or status_code,
        )


class _Sending(ASGIStreamingResponse):
    """Sends a stream in the task of its request; one more, that costs little, waits for the client to leave.

    Thousands of streams are silent for minutes. What each holds meanwhile is what a server can have of them: no group
    of tasks, and no piece that has been sent.
    """

    __slots__ = ()

    async def send_body(self, send: Send, receive: Receive) -> None:
        """Send until the stream has ended or the client is gone; the stream is closed in any case."""
        sending = asyncio.current_task()
        assert sending is not None
        cancelled = sending.cancelling()
        leaving = asyncio.create_task(_leaves(receive))
        leaving.add_done_callback(lambda done: None if done.cancelled() else sending.cancel())
        pieces = cast("AsyncGenerator[bytes, None]", self.iterator)
        try:
            try:
                async for piece in pieces:
                    if piece:
                        await send(_body(piece))
                    del piece
            except DifyError as exc:
                told = error_response(exc).content
                await send(_body(server_sent(ErrorEvent(code=told.code, message=told.message, status=told.status))))
            await send(_body(b"", more=False))
        except asyncio.CancelledError:
            if not leaving.done() or sending.uncancel() > cancelled:
                raise
        finally:
            leaving.cancel()
            await pieces.aclose()


def _body(piece: bytes, *, more: bool = True) -> HTTPResponseBodyEvent:
    return {"type": "http.response.body", "body": piece, "more_body": more}


async def _leaves(receive: Receive) -> None:
    """Return when the client has gone, or has all of the answer."""
    while (await receive())["type"] != "http.disconnect":
        pass
