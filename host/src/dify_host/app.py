"""Builds the ASGI application of the API process out of a platform."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from litestar import Litestar, Router, asgi
from litestar.datastructures import State
from litestar.di import Provide
from litestar.enums import HttpMethod
from litestar.handlers import ASGIRouteHandler, HTTPRouteHandler
from litestar.middleware import DefineMiddleware
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.types import ControllerRouterHandler, Method, Receive, Scope, Send
from litestar.types.internal_types import PathParameterDefinition

from dify_host.console import console_routes, console_uploads
from dify_host.http.callers import app_caller, app_route, dataset_caller, dataset_route, require_caller, require_json
from dify_host.http.console_callers import CONSOLE, console_caller, console_route
from dify_host.http.cors import Cors, cors_rules
from dify_host.http.errors import exception_handlers
from dify_host.http.headers import VersionHeaders
from dify_host.platform import Platform
from dify_host.service import app_routes, app_uploads, dataset_routes, dataset_uploads
from dify_host.service.root import openapi, root
from dify_host.settings import HostSettings
from dify_host.version import VERSION
from dify_host.web.files import linked_tool_file, linked_upload
from dify_host.web.first_page import first_page
from dify_host.web.forms import form_routes
from dify_host.web.health import health
from dify_host.web.webhooks import webhook_routes

__all__ = ["create_app"]

log = logging.getLogger(__name__)
_PUBLIC: tuple[ControllerRouterHandler, ...] = (first_page, health, root, openapi, linked_upload, linked_tool_file)


def create_app(platform: Platform) -> Litestar:
    """The API over an opened platform; the platform outlives the application."""
    apps = Router(
        "/v1",
        route_handlers=[*app_routes(), _uploads(app_uploads(), platform.settings)],
        guards=[app_route, require_json],
        dependencies={"caller": Provide(app_caller)},
    )
    knowledge = Router(
        "/v1",
        route_handlers=[*dataset_routes(), _uploads(dataset_uploads(), platform.settings)],
        guards=[dataset_route, require_json],
        dependencies={"caller": Provide(dataset_caller)},
    )
    console = Router(
        CONSOLE,
        route_handlers=[*console_routes(), _uploads(console_uploads(), platform.settings)],
        guards=[console_route, require_json],
        dependencies={"caller": Provide(console_caller)},
        include_in_schema=False,
    )
    links = [webhook_routes(platform.settings), form_routes(platform.settings)]
    handlers: list[ControllerRouterHandler] = [*_PUBLIC, *links, apps, knowledge, console, *_mounted(platform)]
    app = Litestar(
        route_handlers=handlers,
        guards=[require_caller],
        lifespan=[_running(platform)],
        exception_handlers=exception_handlers(),
        middleware=[DefineMiddleware(VersionHeaders, version=VERSION, environment=platform.settings.deploy_env)],
        openapi_config=_openapi(),
        request_max_body_size=platform.settings.request_body_max_size,
        state=State({"platform": platform}),
        logging_config=None,
    )
    app.asgi_handler = Cors(app.asgi_handler, cors_rules(platform.settings, CONSOLE))
    return app


def _uploads(handlers: list[ControllerRouterHandler], settings: HostSettings) -> Router:
    """Routes whose body may be as large as the largest file of any kind, and the fields beside it."""
    kinds = (
        settings.upload_file_size_limit,
        settings.upload_image_file_size_limit,
        settings.upload_video_file_size_limit,
        settings.upload_audio_file_size_limit,
    )
    return Router("/", route_handlers=handlers, request_max_body_size=(max(kinds) + 1) * 1024 * 1024)


def _openapi() -> OpenAPIConfig:
    key = SecurityScheme(type="http", scheme="bearer", description="The key of an app, or of knowledge.")
    return OpenAPIConfig(
        title="Dify Service API",
        version=VERSION,
        components=Components(security_schemes={"ApiKey": key}),
        security=[{"ApiKey": []}],
        render_plugins=[JsonRenderPlugin()],
        use_handler_docstrings=True,
        operation_id_creator=_operation_id,
    )


def _operation_id(_handler: HTTPRouteHandler, method: Method, path: list[str | PathParameterDefinition]) -> str:
    """Method and path, as aliases of one route differ in a hyphen alone."""
    parts = [part if isinstance(part, str) else f"{{{part.name}}}" for part in path]
    return f"{HttpMethod(method).value.lower()}:/{'/'.join(parts)}"


@asynccontextmanager
async def _running(platform: Platform) -> AsyncIterator[None]:
    """What belongs to the time in which the application answers."""
    platform.watch_runs()
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
