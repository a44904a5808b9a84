"""CORS: which pages of other origins may read answers; the console and the APIs of apps have rules of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from litestar.config.cors import CORSConfig
from litestar.datastructures import Headers, MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Method, Receive, Scope, Send

from dify_host.settings import HostSettings

__all__ = ["Cors", "cors_rules"]

_METHODS: Final[list[Method]] = ["GET", "PUT", "POST", "DELETE", "OPTIONS", "PATCH"]


def cors_rules(settings: HostSettings, console: str) -> dict[str, CORSConfig]:
    """The rules by the beginning of a path; `console` is that of the console API.

    Pages of the console send their cookies along. Where every origin is allowed they cannot: any page on the web could
    act for whoever is logged in.
    """
    origins = settings.console_cors_allow_origins or _origin(settings.console_web_url)
    return {
        console: CORSConfig(
            allow_origins=origins,
            allow_methods=[*_METHODS],
            allow_headers=["Content-Type", "Authorization", "X-CSRF-Token", "Last-Event-ID"],
            allow_credentials="*" not in origins,
            expose_headers=["X-Version", "X-Env"],
        ),
        "/": CORSConfig(
            allow_origins=settings.web_api_cors_allow_origins,
            allow_methods=[*_METHODS],
            allow_headers=["Content-Type", "X-App-Code", "X-App-Passport", "Authorization", "Last-Event-ID"],
            expose_headers=["X-Version", "X-Env", "X-Trace-Id"],
        ),
    }


def _origin(url: str) -> list[str]:
    parts = urlsplit(url)
    return [f"{parts.scheme}://{parts.netloc}"] if parts.netloc else []


class Cors:
    """Answers what browsers ask before a request, and adds their headers to answers. The first rule that fits counts.

    Pure ASGI and around everything else, so that a page can read refusals too.
    """

    def __init__(self, app: ASGIApp, rules: Mapping[str, CORSConfig]) -> None:
        self._app, self._rules = app, [*rules.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, unless it is only a question."""
        headers = Headers.from_scope(scope) if scope["type"] == ScopeType.HTTP else Headers()
        origin = headers.get("origin")
        if scope["type"] != ScopeType.HTTP or not origin:
            await self._app(scope, receive, send)
            return
        config = self._config(scope["path"])
        if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            await _answer_question(config, origin, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableScopeHeaders.from_message(message).update(_headers(config, origin, config.simple_headers))
            await send(message)

        await self._app(scope, receive, with_headers)

    def _config(self, path: str) -> CORSConfig:
        return next(config for start, config in self._rules if path.startswith(start))


def _headers(config: CORSConfig, origin: str, told: Mapping[str, str]) -> dict[str, str]:
    """What is told to a page of that origin: nothing when it is not allowed."""
    if config.is_allow_all_origins:
        return dict(told)
    if not config.is_origin_allowed(origin):
        return {"Vary": "Origin"}
    return {**told, "Access-Control-Allow-Origin": origin, "Vary": "Origin"}


async def _answer_question(config: CORSConfig, origin: str, send: Send) -> None:
    told = _headers(config, origin, config.preflight_headers)
    status, body = (204, b"") if "Access-Control-Allow-Origin" in told else (400, b"This origin is not allowed.")
    headers = [(name.lower().encode(), value.encode()) for name, value in told.items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
