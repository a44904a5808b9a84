"""Says in the contract's words what the server answered, by its status or code, never by its text."""

from __future__ import annotations

from dify_kernel.errors import (
    InvalidQuery,
    StoreRateLimited,
    StoreUnauthorized,
    StoreUnavailable,
    VectorStoreError,
)

__all__ = ["Unimplemented", "of_code", "of_status", "silent"]

_UNAUTHORIZED = ("UNAUTHENTICATED", "PERMISSION_DENIED")
_UNAVAILABLE = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "ABORTED", "INTERNAL", "DATA_LOSS")
_INVALID = ("INVALID_ARGUMENT", "NOT_FOUND", "OUT_OF_RANGE", "FAILED_PRECONDITION", "ALREADY_EXISTS")


class Unimplemented(VectorStoreError):
    """The server is too old for the call."""


def silent(where: str, setting: str, how: str) -> StoreUnavailable:
    """The error for a server that does not answer."""
    return StoreUnavailable(
        f"Weaviate at {where} does not answer: {how}.", hint=f"Check {setting} and that it runs.", setting=setting
    )


def of_status(where: str, status: int, text: str) -> VectorStoreError:
    """The error for a status of the REST interface, 300 or more, or for an answer that is no JSON."""
    at, reason = f"Weaviate at {where} answers {status}", _line(text)
    if status in (401, 403):
        return StoreUnauthorized(f"{at}.", hint="Check WEAVIATE_API_KEY.", setting="WEAVIATE_API_KEY")
    if status == 429:
        return StoreRateLimited(f"{at}: {reason}.", hint="Try again later.")
    if status in (400, 404, 413, 422):
        return InvalidQuery(f"{at}: {reason}.", setting="WEAVIATE_ENDPOINT")
    if status >= 500:
        return StoreUnavailable(f"{at}: {reason}.", hint="Look at the server's log.")
    hint = "Check WEAVIATE_ENDPOINT: another server listens there."
    return VectorStoreError(f"{at}: {reason}.", hint=hint, setting="WEAVIATE_ENDPOINT")


def of_code(where: str, code: str, text: str) -> VectorStoreError:
    """The error for a code of the gRPC interface. Most refusals of Weaviate have the code UNKNOWN."""
    at, reason = f"Weaviate at {where} answers {code}", _line(text)
    if code in _UNAUTHORIZED:
        return StoreUnauthorized(f"{at}.", hint="Check WEAVIATE_API_KEY.", setting="WEAVIATE_API_KEY")
    if code == "RESOURCE_EXHAUSTED":
        return StoreRateLimited(f"{at}: {reason}.", hint="Try again later.")
    if code in _UNAVAILABLE:
        return silent(where, "WEAVIATE_GRPC_ENDPOINT", reason or code)
    if code in _INVALID:
        return InvalidQuery(f"{at}: {reason}.")
    if code == "UNIMPLEMENTED":
        return Unimplemented(f"{at}: {reason}.", hint="Weaviate 1.25 or newer is needed.")
    return VectorStoreError(f"{at}: {reason}.")


def _line(text: str) -> str:
    """One line of at most 300 characters: an answer may quote a whole request."""
    return " ".join(text.split())[:300]
