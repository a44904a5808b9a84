"""Writes rows that grow with use in batches: one task a process, one transaction for whatever has gathered meanwhile.

A change is put in memory at once and is durable when `flush()` returns. Changes of one row within a batch become one
statement; the order of rows within a table is kept. A batch that cannot be written is tried again row group by row
group, so that one bad row fails its own writer and nobody else's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa
from dify_kernel.errors import DifyError

from dify_host.db.engine import Database

__all__ = ["BatchWriter", "Group"]

log = logging.getLogger(__name__)

Check = Callable[[sa.Connection], None]
_ROWS = 500


class Group:
    """Rows that live and die together in a batch: one run, one message. `check` may refuse them all."""

    __slots__ = ("check", "deletes", "inserts", "keys", "statements", "updates")

    def __init__(self, check: Check | None = None) -> None:
        self.check = check
        self.inserts: list[tuple[sa.Table, dict[str, Any]]] = []
        self.updates: dict[tuple[sa.Table, str], dict[str, Any]] = {}
        self.keys: dict[tuple[sa.Table, str], dict[str, Any]] = {}
        self.deletes: list[tuple[sa.Column[Any], str]] = []
        self.statements: list[sa.Update] = []

    def insert(self, table: sa.Table, row: Mapping[str, Any]) -> None:
        """Add a row; a row with an `id` may still be changed by `update` before it is written."""
        values = dict(row)
        self.inserts.append((table, values))
        if "id" in values:
            self.keys[(table, values["id"])] = values

    def update(self, table: sa.Table, row_id: str, values: Mapping[str, Any]) -> None:
        """Change a row by its `id`, in place when it is not written yet."""
        key = (table, row_id)
        if key in self.keys:
            self.keys[key].update(values)
        else:
            self.updates.setdefault(key, {}).update(values)

    def execute(self, statement: sa.Update) -> None:
        """Run another change after the rows of the batch are in."""
        self.statements.append(statement)

    def delete(self, column: sa.Column[Any], value: str) -> None:
        """Remove the rows whose column has the value: those of this group, and those written before."""
        kept = [(table, row) for table, row in self.inserts if table is not column.table or row[column.name] != value]
        if len(kept) == len(self.inserts):
            self.deletes.append((column, value))
        self.inserts = kept


class BatchWriter:
    """Collects groups and writes them. `start` it on the loop that uses it; `close` writes what is left."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._pending: list[tuple[Group, asyncio.Future[None]]] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    def start(self) -> None:
        """Begin to write; starting twice is harmless."""
        if self._task is None:
            self._task = asyncio.create_task(self._loop(), name="batch-writer")

    async def close(self) -> None:
        """Write everything that was put, then stop."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await self._task
            self._task = None

    def put(self, group: Group) -> asyncio.Future[None]:
        """Take a group; the future ends when it is durable, or with the error that refused it."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.add_done_callback(_retrieve)
        self._pending.append((group, future))
        self._wake.set()
        return future

    async def _loop(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._pending:
                batch, self._pending = self._pending, []
                await self._write(batch)
            if self._closing:
                return

    async def _write(self, batch: list[tuple[Group, asyncio.Future[None]]]) -> None:
        try:
            await self._db.run_write(lambda conn: _apply(conn, [group for group, _ in batch]))
        except Exception as exc:
            if len(batch) == 1:
                _fail(batch[0][1], exc)
                return
            for item in batch:
                await self._write([item])
            return
        for _, future in batch:
            if not future.done():
                future.set_result(None)


def _apply(conn: sa.Connection, groups: list[Group]) -> None:
    inserts: dict[tuple[sa.Table, tuple[str, ...]], list[dict[str, Any]]] = {}
    for group in groups:
        for table, row in group.inserts:
            inserts.setdefault((table, tuple(sorted(row))), []).append(row)
    for (table, _), rows in inserts.items():
        for start in range(0, len(rows), _ROWS):
            conn.execute(table.insert(), rows[start : start + _ROWS])
    updates: dict[tuple[sa.Table, tuple[str, ...]], list[dict[str, Any]]] = {}
    for group in groups:
        for (table, row_id), values in group.updates.items():
            row = {"row_id": row_id, **{f"new_{name}": value for name, value in values.items()}}
            updates.setdefault((table, tuple(sorted(values))), []).append(row)
    for (table, names), rows in updates.items():
        statement = (
            table.update()
            .where(table.c.id == sa.bindparam("row_id"))
            .values({name: sa.bindparam(f"new_{name}") for name in names})
        )
        conn.execute(statement, rows)
    for group in groups:
        for change in group.statements:
            conn.execute(change)
        if group.check is not None:
            group.check(conn)
    deletes: dict[sa.Column[Any], list[str]] = {}
    for group in groups:
        for column, value in group.deletes:
            deletes.setdefault(column, []).append(value)
    for column, found in deletes.items():
        conn.execute(sa.delete(column.table).where(column.in_(found)))


def _fail(future: asyncio.Future[None], exc: Exception) -> None:
    if not future.done():
        future.set_exception(exc)
    if not isinstance(exc, DifyError):
        log.error("a batch of rows was refused: %s: %s", type(exc).__name__, exc)


def _retrieve(future: asyncio.Future[None]) -> None:
    """Mark the outcome as seen: not everybody who puts a group waits for it."""
    if not future.cancelled():
        future.exception()
