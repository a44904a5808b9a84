"""One table from errors to answers: `{"code", "message", "status"}`, by class and never by text."""

from __future__ import annotations

import logging
import re
from typing import Any

import msgspec
from dify_kernel.errors import AuthError, DifyError, InvalidGraph
from litestar import Request, Response
from litestar.exceptions import HTTPException, SerializationException, ValidationException
from litestar.types import ExceptionHandlersMap

__all__ = ["ErrorBody", "error_response", "exception_handlers"]

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
    500: "internal_server_error",
}
_FIELD = re.compile(r"`\$?\.?([^`]*)`")


class ErrorBody(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The body of every error."""

    code: str = msgspec.field()
    message: str = msgspec.field()
    status: int = msgspec.field()
    params: str | None = None
    problems: list[dict[str, Any]] | None = None


def error_response(exc: BaseException) -> Response[ErrorBody]:
    """The answer to an exception; one that nobody expected is logged and says nothing about the inside."""
    if isinstance(exc, DifyError):
        return _known(exc)
    if isinstance(exc, ValidationException):
        return _answer("invalid_param", _validation_message(exc), 400, params=_validation_field(exc))
    if isinstance(exc, SerializationException | msgspec.DecodeError):
        return _answer("bad_request", f"The body cannot be read: {exc}", 400)
    if isinstance(exc, HTTPException):
        code = _CODES.get(exc.status_code, "internal_server_error")
        return _answer(code, str(exc.detail) or code, exc.status_code, headers=dict(exc.headers or {}))
    log.error("unexpected error", exc_info=exc)
    return _answer("unknown", "Internal Server Error", 500)


def _known(exc: DifyError) -> Response[ErrorBody]:
    headers = {"WWW-Authenticate": 'Bearer realm="api"'} if isinstance(exc, AuthError) and exc.status == 401 else {}
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


def _validation_message(exc: ValidationException) -> str:
    parts = []
    for item in exc.extra if isinstance(exc.extra, list) else []:
        if isinstance(item, dict):
            key, message = item.get("key"), str(item.get("message") or "")
            parts.append(f"{key}: {message}" if key and key not in message else message)
    return "; ".join(parts) or str(exc.detail)


def _validation_field(exc: ValidationException) -> str | None:
    for item in exc.extra if isinstance(exc.extra, list) else []:
        if isinstance(item, dict):
            found = item.get("key") or next(iter(_FIELD.findall(str(item.get("message") or ""))), None)
            if found:
                return str(found)
    return None


def _handle(_request: Request[Any, Any, Any], exc: Exception) -> Response[ErrorBody]:
    return error_response(exc)


def exception_handlers() -> ExceptionHandlersMap:
    """Everything goes through the one table."""
    return {DifyError: _handle, HTTPException: _handle, msgspec.DecodeError: _handle, Exception: _handle}
