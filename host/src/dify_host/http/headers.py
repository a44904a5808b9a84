"""Headers of every answer: version and environment."""

from __future__ import annotations

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["VersionHeaders"]


class VersionHeaders:
    """Adds `X-Version` and `X-Env` to every HTTP answer; pure ASGI, as it runs for each request."""

    def __init__(self, app: ASGIApp, *, version: str, environment: str) -> None:
        self._app = app
        self._headers = [(b"x-version", version.encode()), (b"x-env", environment.encode())]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and add the headers when the answer starts."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self._headers]
            await send(message)

        await self._app(scope, receive, with_headers)
