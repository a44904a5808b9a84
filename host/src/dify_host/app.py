"""Builds the ASGI application of the API process out of a platform."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from litestar import Litestar, Router, asgi
from litestar.datastructures import State
from litestar.di import Provide
from litestar.handlers import ASGIRouteHandler
from litestar.middleware import DefineMiddleware
from litestar.openapi import OpenAPIConfig
from litestar.types import ControllerRouterHandler, Receive, Scope, Send

from dify_host.http.callers import app_caller, dataset_caller, require_caller
from dify_host.http.errors import exception_handlers
from dify_host.http.headers import VersionHeaders, cors
from dify_host.platform import Platform
from dify_host.service import controllers
from dify_host.version import VERSION
from dify_host.web.health import health

__all__ = ["create_app"]

log = logging.getLogger(__name__)


def create_app(platform: Platform) -> Litestar:
    """The API over an opened platform; the platform outlives the application."""
    service = Router(
        "/v1",
        route_handlers=controllers(),
        dependencies={"caller": Provide(app_caller), "knowledge": Provide(dataset_caller)},
    )
    handlers: list[ControllerRouterHandler] = [health, service, *_mounted(platform)]
    return Litestar(
        route_handlers=handlers,
        guards=[require_caller],
        lifespan=[_running(platform)],
        exception_handlers=exception_handlers(),
        middleware=[DefineMiddleware(VersionHeaders, version=VERSION, environment=platform.settings.deploy_env)],
        cors_config=cors(platform.settings.web_api_cors_allow_origins),
        openapi_config=OpenAPIConfig(title="Dify Service API", version=VERSION),
        request_max_body_size=platform.settings.request_body_max_size,
        state=State({"platform": platform}),
        logging_config=None,
    )


@asynccontextmanager
async def _running(platform: Platform) -> AsyncIterator[None]:
    """What belongs to the time in which the application answers."""
    platform.commands.start()
    try:
        yield
    finally:
        await platform.commands.close()


def _mounted(platform: Platform) -> list[ASGIRouteHandler]:
    """The ASGI applications that plugins add."""
    found: list[ASGIRouteHandler] = []

    def mount(path: str, app: Any) -> None:
        async def forward(scope: Scope, receive: Receive, send: Send) -> None:
            await app(scope, receive, send)

        found.append(asgi(path, is_mount=True, copy_scope=True, guards=[])(forward))

    platform.registry.notify("configure_app", mount=mount)
    return found
