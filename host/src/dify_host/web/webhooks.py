"""Webhooks: whoever knows an address starts a workflow, or feeds a draft that waits. The id in it is the secret."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from dify_kernel.errors import BadInput, DifyError, NotFound
from litestar import Response, Router
from litestar.datastructures import UploadFile
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import Method
from redis.exceptions import RedisError

from dify_host.http.callers import Call, platform_of
from dify_host.http.errors import error_response
from dify_host.settings import HostSettings
from dify_host.triggers.webhook import BYTES, FORM, JSON, MULTIPART, Reply, SentFile, WebhookCall

__all__ = ["webhook_routes"]

log = logging.getLogger(__name__)

_METHODS: Final[tuple[Method, ...]] = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
_JSON: Final = "application/json"
_TOO_LARGE: Final = 413
_Take = Callable[[str, WebhookCall], Awaitable[Reply]]


def webhook_routes(settings: HostSettings) -> Router:
    """The routes below `/triggers`; their bodies have a limit of their own, and their errors a form of their own."""
    return Router(
        "/triggers",
        route_handlers=[
            _every_method("/webhook/{webhook_id:str}", _webhook),
            _every_method("/webhook-debug/{webhook_id:str}", _webhook_debug),
            _every_method("/plugin/{endpoint_id:str}", _plugin),
        ],
        request_max_body_size=settings.webhook_request_body_max_size,
        exception_handlers={DifyError: _refused, HTTPException: _refused, Exception: _refused},
        include_in_schema=False,
    )


async def _webhook(request: Call, webhook_id: FromPath[str]) -> Response[Any]:
    """Start the workflow: the answer is the node's, given as soon as the run is sure to begin."""
    return await _answered(request, webhook_id, platform_of(request).webhooks.receive)


async def _webhook_debug(request: Call, webhook_id: FromPath[str]) -> Response[Any]:
    """Give the request to the draft runs that wait for it."""
    return await _answered(request, webhook_id, platform_of(request).webhooks.receive_debug)


async def _plugin() -> Response[Any]:
    """Nothing delivers events of plugins: no endpoint is known."""
    return Response({"error": "Endpoint not found"}, status_code=404, media_type=_JSON)


def _every_method(path: str, function: Callable[..., Awaitable[Response[Any]]]) -> HTTPRouteHandler:
    return HTTPRouteHandler(path, http_method=list(_METHODS), status_code=200)(function)


async def _answered(request: Call, webhook_id: str, take: _Take) -> Response[Any]:
    reply = await take(webhook_id, await _call(request))
    if reply.body is None or request.method == "HEAD":
        return Response(b"", status_code=reply.status, media_type=_JSON)
    return Response(reply.body, status_code=reply.status, media_type=_JSON)


async def _call(request: Call) -> WebhookCall:
    """The request, read whole; a form in its parts."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower() or JSON
    fields: dict[str, str] = {}
    files: dict[str, SentFile] = {}
    data = b""
    if kind in (FORM, MULTIPART):
        for name, value in (await request.form()).multi_items():
            if isinstance(value, UploadFile):
                mime = value.content_type or BYTES
                files.setdefault(name, SentFile(filename=value.filename, mime_type=mime, data=await value.read()))
            else:
                fields.setdefault(name, str(value))
    else:
        data = await request.body()
    query: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        query.setdefault(name, value)
    return WebhookCall(
        method=request.method,
        headers={_titled(name): value for name, value in request.headers.items()},
        query=query,
        content_type=kind,
        data=data,
        fields=fields,
        files=files,
    )


def _titled(name: str) -> str:
    """A header's name as people write it; the server gives it in lower case."""
    return "-".join(part.capitalize() for part in name.split("-"))


def _refused(_request: Call, exc: Exception) -> Response[Any]:
    """Errors in the form of this API; what nobody listens to is a plain 404."""
    if isinstance(exc, NotFound):
        return error_response(exc)
    if isinstance(exc, BadInput) and exc.status != _TOO_LARGE:
        return _error(400, "Bad Request", exc.description)
    if isinstance(exc, HTTPException) and exc.status_code < 500:
        return error_response(exc) if exc.status_code != 400 else _error(400, "Bad Request", str(exc.detail))
    if isinstance(exc, RedisError) or (isinstance(exc, DifyError) and exc.retryable):
        return error_response(exc)  # the sender is to try again, and can see that
    if isinstance(exc, DifyError):
        log.error("A webhook could not be taken: %s", exc)
        if exc.status < 500:
            return error_response(exc)
    else:
        log.error("unexpected error at a webhook", exc_info=exc)
    return _error(500, "Internal server error", "The request could not be taken. Please try again later.")


def _error(status: int, error: str, message: str) -> Response[Any]:
    return Response({"error": error, "message": message}, status_code=status, media_type=_JSON)
