"""Says in the contract's words what the client raised, by its class and code, never by its text."""

from __future__ import annotations

from dify_kernel.errors import (
    DifyError,
    InvalidQuery,
    StoreRateLimited,
    StoreUnauthorized,
    StoreUnavailable,
    VectorStoreError,
)
from dify_kernel.settings import shown_address

from dify_vdb_milvus.settings import MilvusSettings

__all__ = ["is_missing", "is_released", "translated"]

_MISSING, _RELEASED = 100, 101
_REFUSED = {7, 16, 1400, 1401, 1402, 1800, 2100}
_SLOW_DOWN = {8, 9}
_WRONG = {6, 1100, 1101, 1102, 1700}


def is_missing(exc: BaseException) -> bool:
    """Whether the server says that the collection does not exist."""
    return _code(exc) == _MISSING


def is_released(exc: BaseException) -> bool:
    """Whether the server says that the collection is not loaded, as after a restart."""
    return _code(exc) == _RELEASED


def translated(exc: Exception, settings: MilvusSettings) -> Exception:
    """The error to raise from `exc`; `exc` itself when it is not the client's."""
    from grpc import RpcError  # type: ignore[import-untyped]
    from pymilvus.exceptions import MilvusException  # type: ignore[import-untyped]

    if isinstance(exc, DifyError):
        return exc
    code, where = _code(exc), f"Milvus at {shown_address(settings.uri)}"
    text = str(exc)
    for secret in (settings.token.reveal(), settings.password.reveal()):
        text = text.replace(secret, "…") if secret else text
    reason = " ".join(text.split())[:300] or type(exc).__name__
    if code in _REFUSED:
        return StoreUnauthorized(
            f"{where} refused the credentials.",
            hint="Check MILVUS_TOKEN, or MILVUS_USER and MILVUS_PASSWORD.",
            setting="MILVUS_URI",
        )
    if code in _SLOW_DOWN:
        return StoreRateLimited(f"{where} asks to slow down: {reason}.", hint="Try again later.")
    if code in _WRONG:
        return InvalidQuery(f"{where} refused the call: {reason}.")
    if code in (1, 65535) and isinstance(exc, MilvusException):
        return VectorStoreError(f"{where}: {reason}.", setting="MILVUS_URI")
    if isinstance(exc, MilvusException | RpcError | OSError | ValueError | RuntimeError):
        return StoreUnavailable(
            f"{where} does not answer: {reason}.", hint="Check MILVUS_URI and that it runs.", setting="MILVUS_URI"
        )
    return exc


def _code(exc: BaseException) -> int:
    code = getattr(exc, "code", None)
    if callable(code):  # gRPC's own error
        code = code()
    value = getattr(code, "value", code)
    number = value[0] if isinstance(value, tuple) else value
    return number if isinstance(number, int) else -1
