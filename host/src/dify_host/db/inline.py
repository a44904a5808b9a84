"""Runs work that is written for an asynchronous connection on a plain one, in the thread that holds it.

Such work may await its connection and nothing else, which is what a short transaction is allowed anyway: what
awaits something else is refused, and its transaction is rolled back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from sqlalchemy.engine import Connection, CursorResult, Dialect
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.db.errors import DatabaseError

__all__ = ["InlineConnection", "run_inline"]

T = TypeVar("T")
P = ParamSpec("P")


class InlineConnection:
    """What the host uses of an AsyncConnection, answered at once."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn

    @property
    def dialect(self) -> Dialect:
        """That of the connection."""
        return self._conn.dialect

    @property
    def info(self) -> dict[Any, Any]:
        """Notes on the connection; they stay when it goes back to its pool."""
        return self._conn.info

    async def execute(self, statement: Any, parameters: Any = None) -> CursorResult[Any]:
        """Execute a statement; the result is in memory or read from this thread."""
        return self._conn.execute(statement, parameters)

    async def run_sync(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the work with the plain connection."""
        return work(self._conn, *args, **kwargs)


def run_inline(conn: Connection, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    """Run the work to its end on this thread and return its result; DatabaseError when it awaits something else."""
    steps = work(cast(AsyncConnection, InlineConnection(conn))).__await__()
    try:
        next(steps)
    except StopIteration as ended:
        return cast(T, ended.value)
    close = getattr(steps, "close", None)
    if close is not None:
        close()
    raise DatabaseError("A transaction awaited something besides its connection.", hint="Await it before or after.")
