"""One table from errors to answers: `{"code", "message", "status"}`, by class and never by text."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Any

import msgspec
from dify_kernel.errors import AuthError, DifyError, InvalidGraph, PlatformUnavailable
from litestar import Request, Response
from litestar.exceptions import HTTPException, SerializationException, ValidationException
from litestar.handlers import HTTPRouteHandler
from litestar.types import ExceptionHandlersMap
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

__all__ = ["ErrorBody", "UnsupportedMediaType", "error_response", "exception_handlers"]

log = logging.getLogger(__name__)

#: Codes of plain HTTP errors; anything else is the class name of werkzeug's exception, as Dify's clients see it.
_CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "request_entity_too_large",
    415: "unsupported_media_type",
    429: "too_many_requests",
}
_AWAY = 503
#: Seconds after which a client may try again what the platform could not do just now.
_RETRY_AFTER = "5"
#: How msgspec names a field that is missing or unknown.
_NAMED = re.compile(r"(?:required|unknown) field `([^`]+)`")


class ErrorBody(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The body of every error."""

    code: str = msgspec.field()
    message: str = msgspec.field()
    status: int = msgspec.field()
    params: str | None = None
    problems: list[dict[str, Any]] | None = None


class UnsupportedMediaType(DifyError):
    """The body is of another type than the route takes."""

    code = "unsupported_media_type"
    status = 415


def error_response(exc: BaseException, *, body: type | None = None) -> Response[ErrorBody]:
    """The answer to an exception; one that nobody expected is logged and says nothing about the inside.

    `body` is the struct of the route's body: an unknown field is answered with those it has.
    """
    if isinstance(exc, RedisConnectionError | RedisTimeoutError):
        log.warning("The queue does not answer: %s", exc)
        exc = PlatformUnavailable("The queue does not answer.", hint="Repeat the request in a moment.")
    if isinstance(exc, DifyError):
        return _known(exc)
    if isinstance(exc, ValidationException):
        return _answer("invalid_param", _validation_message(exc, body), 400, params=_validation_field(exc))
    if isinstance(exc, SerializationException | msgspec.DecodeError):
        return _answer("bad_request", f"The body cannot be read: {exc}", 400)
    if isinstance(exc, HTTPException) and exc.status_code < 500:
        code = _CODES.get(exc.status_code, "bad_request")
        headers = dict(exc.headers or {})
        return _answer(code, _said(exc), exc.status_code, headers=headers)
    log.error("unexpected error", exc_info=exc)
    return _answer("unknown", "Internal Server Error", 500)


def _known(exc: DifyError) -> Response[ErrorBody]:
    headers = {"WWW-Authenticate": 'Bearer realm="api"'} if isinstance(exc, AuthError) and exc.status == 401 else {}
    if exc.retryable and exc.status == _AWAY:
        headers["Retry-After"] = _RETRY_AFTER
    problems = msgspec.to_builtins(exc.problems) if isinstance(exc, InvalidGraph) else None
    field = exc.where.get("field") or exc.where.get("variable")
    return _answer(exc.code, exc.description, exc.status, headers=headers, problems=problems, params=field)


def _answer(
    code: str,
    message: str,
    status: int,
    *,
    headers: dict[str, str] | None = None,
    params: str | None = None,
    problems: list[dict[str, Any]] | None = None,
) -> Response[ErrorBody]:
    body = ErrorBody(code=code, message=message, status=status, params=params, problems=problems)
    return Response(body, status_code=status, headers=headers, media_type="application/json")


def _said(exc: HTTPException) -> str:
    """The words of a plain HTTP error; those of 404 and 405 say no more than their status, so ours say more."""
    if exc.status_code == 404:
        return "The requested URL was not found on the server."
    if exc.status_code == 405:
        return "The method is not allowed for the requested URL."
    return str(exc.detail) or _CODES.get(exc.status_code, "")


def _faults(exc: ValidationException) -> Iterator[tuple[str, str]]:
    """Each fault as (field, message); the field is a path below the body or a parameter's name."""
    for item in exc.extra if isinstance(exc.extra, list) else []:
        if not isinstance(item, dict):
            continue
        message, key = str(item.get("message") or ""), str(item.get("key") or "")
        named = _NAMED.search(message)
        if key == "data":
            key = ""
        if named:
            key = f"{key}.{named[1]}" if key else named[1]
        yield key, message


def _validation_message(exc: ValidationException, body: type | None) -> str:
    parts = []
    for key, message in _faults(exc):
        if key == "data":
            parts.append("The request needs a JSON body.")
        elif "unknown field" in message:
            known = [field.encode_name for field in msgspec.structs.fields(body)] if body and "." not in key else []
            parts.append(f"{message}. The fields are: {', '.join(known)}." if known else message)
        else:
            parts.append(message if not key or f"`{key}`" in message else f"{key}: {message}")
    return "; ".join(parts) or str(exc.detail)


def _validation_field(exc: ValidationException) -> str | None:
    return next((key for key, _ in _faults(exc) if key), None)


def _handle(request: Request[Any, Any, Any], exc: Exception) -> Response[ErrorBody]:
    handler = request.scope.get("route_handler")
    field = handler.parsed_data_field if isinstance(handler, HTTPRouteHandler) else None
    body = field.annotation if field is not None and _is_struct(field.annotation) else None
    return error_response(exc, body=body)


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def exception_handlers() -> ExceptionHandlersMap:
    """Everything goes through the one table."""
    return {DifyError: _handle, HTTPException: _handle, msgspec.DecodeError: _handle, Exception: _handle}
