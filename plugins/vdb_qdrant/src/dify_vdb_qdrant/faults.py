"""Says in the contract's words what the client raised, by its class and status, never by its text."""

from __future__ import annotations

from typing import Any

from dify_kernel.errors import (
    DifyError,
    InvalidQuery,
    StoreRateLimited,
    StoreUnauthorized,
    StoreUnavailable,
    VectorStoreError,
)
from dify_kernel.settings import shown_address

__all__ = ["is_missing", "translated"]

_GRPC = {
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "INVALID_ARGUMENT": 400,
    "OUT_OF_RANGE": 400,
}


def is_missing(exc: Exception) -> bool:
    """Whether the server says that the collection does not exist."""
    return _status(exc) == 404


def translated(exc: Exception, url: str) -> Exception:
    """The error to raise from `exc`; `exc` itself when it is not the client's."""
    from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
    from qdrant_client.http.exceptions import ApiException

    where: dict[str, Any] = {"setting": "QDRANT_URL"}
    local, url = _is_local(url), shown_address(url)
    status = _status(exc)
    if isinstance(exc, DifyError):
        return exc
    if status in (401, 403):
        return StoreUnauthorized(
            f"Qdrant at {url} refused the key: {_reason(exc)}.", hint="Check QDRANT_API_KEY.", **where
        )
    if status == 429 or isinstance(exc, ResourceExhaustedResponse):
        return StoreRateLimited(f"Qdrant at {url} asks to slow down: {_reason(exc)}.", hint="Try again later.", **where)
    if isinstance(exc, ValueError | AssertionError) or status in (400, 404, 409, 422):
        return InvalidQuery(f"Qdrant at {url} refused the call: {_reason(exc)}.", **where)
    if isinstance(exc, ApiException | OSError) or _is_grpc(exc) or (isinstance(exc, RuntimeError) and local):
        return StoreUnavailable(
            f"Qdrant at {url} does not answer: {_reason(exc)}.", hint="Check QDRANT_URL and that it runs.", **where
        )
    if type(exc).__module__.startswith("qdrant_client"):
        return VectorStoreError(f"Qdrant at {url}: {_reason(exc)}.", **where)
    return exc


def _status(exc: Exception) -> int:
    if _is_grpc(exc):
        return _GRPC.get(exc.code().name, 503)  # type: ignore[attr-defined]
    status = getattr(exc, "status_code", None)
    return status if isinstance(status, int) else 0


def _is_grpc(exc: Exception) -> bool:
    return type(exc).__module__.startswith("grpc") and hasattr(exc, "code")


def _is_local(url: str) -> bool:
    return url == ":memory:" or url.startswith("path:")


def _reason(exc: Exception) -> str:
    """One line of at most 300 characters: a response may quote a whole page."""
    text = exc.details() or "" if _is_grpc(exc) else str(exc)  # type: ignore[attr-defined]
    return " ".join(text.split())[:300] or type(exc).__name__
