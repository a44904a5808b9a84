"""Says in the contract's words what an SQL engine answered, by SQLSTATE: the code that all of them share."""

from __future__ import annotations

from typing import NamedTuple

from dify_kernel.errors import (
    InvalidQuery,
    StoreUnauthorized,
    StoreUnavailable,
    VectorStoreError,
)

__all__ = ["Fault", "fault_of", "is_missing", "is_transient"]

_MISSING = ("42P01", "42S02")
_GONE = ("08", "53", "57", "58", "40", "55")


class Fault(NamedTuple):
    """An error of a client: the five characters of its SQLSTATE, a reason, and what to look at.

    `state` is empty when the server did not answer at all, and 28000 when it refused the credentials.
    """

    state: str
    reason: str
    server: str
    hint: str


def is_missing(fault: Fault) -> bool:
    """Whether the table does not exist."""
    return fault.state in _MISSING


def is_transient(fault: Fault) -> bool:
    """Whether the same call may succeed at once: a broken connection, a restart, a deadlock, two that wrote one row."""
    return not fault.state or fault.state.startswith(_GONE) or fault.state == "23505"


def fault_of(fault: Fault) -> VectorStoreError:
    """The error to raise."""
    reason = " ".join(fault.reason.split())[:300]
    if fault.state.startswith("28"):
        return StoreUnauthorized(f"{fault.server} refused the credentials: {reason}.", hint=fault.hint)
    if fault.state == "42501":
        return StoreUnauthorized(f"{fault.server} does not permit it: {reason}.", hint=fault.hint)
    if is_transient(fault):
        return StoreUnavailable(f"{fault.server} does not answer: {reason}.", hint=fault.hint)
    if fault.state.startswith(("22", "23")):
        return InvalidQuery(f"{fault.server} refused the values: {reason}.")
    return VectorStoreError(f"{fault.server} answered {fault.state}: {reason}.")
