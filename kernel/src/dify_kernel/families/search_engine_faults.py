"""Says in the contract's words what a search engine answered: by the status and the type of error, never by text."""

from __future__ import annotations

from typing import Any

from dify_kernel.errors import (
    InvalidQuery,
    StoreRateLimited,
    StoreUnauthorized,
    StoreUnavailable,
    VectorStoreError,
)

__all__ = ["fault_of", "is_taken", "stranger"]


def fault_of(status: int, answer: Any, *, engine: str, setting: str, credentials: str) -> VectorStoreError:
    """The error for an answer of a status from 400: `engine` names it with its address, `setting` and `credentials`
    the variables to look at."""
    kind, reason = _error(answer)
    said = f"{engine} answered {status}: {reason}."
    if kind == "cluster_block_exception":
        return StoreUnavailable(said, hint="The engine refuses writes: look at its disks and blocks.", setting=setting)
    if status in (401, 403):
        return StoreUnauthorized(said, hint=f"Check {credentials}.", setting=credentials)
    if status == 429:
        return StoreRateLimited(said, hint="Try again later.", setting=setting)
    if status == 408 or status >= 500:
        return StoreUnavailable(said, hint=f"Look at the engine's log; its address is {setting}.", setting=setting)
    if status in (400, 404, 405, 409, 413, 422):
        return InvalidQuery(said, setting=setting)
    return VectorStoreError(said, setting=setting)


def stranger(engine: str, setting: str) -> VectorStoreError:
    """The error for what answers, and not as a search engine does."""
    return VectorStoreError(
        f"{engine} does not answer as a search engine does.",
        hint=f"Check {setting}: another server may listen there.",
        setting=setting,
    )


def is_taken(answer: Any) -> bool:
    """Whether an index was not made because it is there: another process was faster."""
    return _error(answer)[0] == "resource_already_exists_exception"


def _error(answer: Any) -> tuple[str, str]:
    """The type of an error, and its reason in one line of at most 300 characters."""
    error = answer.get("error") if isinstance(answer, dict) else answer
    if isinstance(error, dict):
        causes = error.get("root_cause") or [error]
        cause = causes[0] if isinstance(causes[0], dict) else error
        kind, reason = str(error.get("type") or ""), str(cause.get("reason") or error.get("reason") or "")
    else:
        kind, reason = "", str(error or "")
    return kind, " ".join(reason.split())[:300] or kind or "no reason given"
