"""Writes rows that grow with use in batches: one task a process, one transaction for whatever has gathered meanwhile.

A change is put in memory at once and is durable when its future ends. Changes of one row within a batch become one
statement, the last one wins; the order of rows within a table is kept. While the database is away a batch waits for
it, and a batch that was written without anybody hearing of it is not written twice. One that is refused is tried again
group by group, so that a bad row fails its own writer alone.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

import msgspec
import sqlalchemy as sa
from dify_kernel.errors import DifyError

from dify_host.db.engine import Database
from dify_host.db.errors import DatabaseUnavailable

__all__ = ["BatchWriter", "Claim", "Group"]

log = logging.getLogger(__name__)

Check = Callable[[sa.Connection], "Claim | None"]
_ROWS = 500
#: Rows of a batch that are looked for when it may be written already.
_LOOKED_AT = 50
#: Seconds before each further try of a batch that the database could not take just now.
_PAUSES = (0.05, 0.2, 0.75, 2.0)
#: Seconds for which a batch waits for a database that does not answer: a restart, or another server that takes over.
_PATIENCE = 20.0


class Claim(msgspec.Struct, frozen=True):
    """A row, found by its unique key, that must hold a value: it is locked until the batch is durable."""

    key: sa.Column[Any]
    row: str
    column: sa.Column[Any]
    value: Any
    refused: Callable[[], DifyError]


def _nothing() -> None: ...


class Group:
    """Rows that live and die together in a batch: one run, one message.

    `check` may refuse them all: it raises, or names a claim. The claims of a batch are looked up together. `after` is
    the future of a group that this one means nothing without: it is refused when that was. With `makes_claim` its own
    rows make what it claims: it is checked only when it was written in an earlier try. `refresh` is called before each
    try: the first may be long ago.
    """

    __slots__ = ("after", "check", "deletes", "inserts", "keys", "makes_claim", "refresh", "statements", "updates")

    def __init__(self, check: Check | None = None) -> None:
        self.check = check
        self.after: asyncio.Future[None] | None = None
        self.makes_claim = False
        self.refresh: Callable[[], None] = _nothing
        self.inserts: list[tuple[sa.Table, dict[str, Any]]] = []
        self.updates: dict[tuple[sa.Table, str], dict[str, Any]] = {}
        self.keys: dict[tuple[sa.Table, str], dict[str, Any]] = {}
        self.deletes: list[tuple[sa.Column[Any], str]] = []
        self.statements: list[sa.Update | sa.Insert] = []

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

    def execute(self, statement: sa.Update | sa.Insert) -> None:
        """Run another change after the rows of the batch are in."""
        self.statements.append(statement)

    def delete(self, column: sa.Column[Any], value: str) -> None:
        """Remove the row whose (unique) column has the value: that of this group, else one written before."""
        kept = [
            (table, row) for table, row in self.inserts if table is not column.table or row.get(column.name) != value
        ]
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
        batch = [(group, future) for group, future in batch if not _left_behind(group, future)]
        if not batch:
            return
        outcome = await self._try([group for group, _ in batch])
        if isinstance(outcome, Exception):
            if len(batch) > 1 and not isinstance(outcome, DatabaseUnavailable):
                for item in batch:
                    await self._write([item])
                return
            outcome = [outcome] * len(batch)
        for (group, future), error in zip(batch, outcome, strict=True):
            if not _left_behind(group, future):
                _settle(future, error)

    async def _try(self, groups: list[Group]) -> Exception | list[Exception | None]:
        """Write groups in one transaction: what became of each, or the error that is left after the last try."""
        pauses, since = iter(_PAUSES), time.monotonic()
        unsure = False
        while True:
            for group in groups:
                group.refresh()
            try:
                return await self._db.run_write(partial(_apply, groups=groups, unsure=unsure))
            except Exception as exc:
                error = exc
            if not (isinstance(error, DifyError) and error.retryable):
                return error
            away = isinstance(error, DatabaseUnavailable)
            unsure = unsure or away
            patient = away and time.monotonic() - since < _PATIENCE
            pause = next(pauses, _PAUSES[-1] if patient else None)
            if pause is None:
                return error
            await asyncio.sleep(pause)


def _apply(conn: sa.Connection, groups: list[Group], unsure: bool) -> list[Exception | None]:
    """Write the groups; `unsure` when the connection was lost in an earlier try, which may have been committed.

    Then what was claimed may be somebody else's since: a group is refused that can no longer rely on it.
    """
    if unsure and _is_written(conn, groups):
        given_up = {(str(column), value) for group in groups for column, value in group.deletes}
        return [_lost_since(conn, group, given_up) for group in groups]
    claims = [group.check(conn) for group in groups if group.check is not None and not group.makes_claim]
    _hold(conn, [claim for claim in claims if claim is not None])
    _insert(conn, groups)
    _update(conn, groups)
    for group in groups:
        for change in group.statements:
            conn.execute(change)
    deletes: dict[sa.Column[Any], list[str]] = {}
    for group in groups:
        for column, value in group.deletes:
            deletes.setdefault(column, []).append(value)
    for column, found in deletes.items():
        conn.execute(sa.delete(column.table).where(column.in_(found)))
    return [None] * len(groups)


def _lost_since(conn: sa.Connection, group: Group, given_up: set[tuple[str, str]]) -> Exception | None:
    """Why a group that is written has lost its claim; None while it holds, or when its batch gave it up."""
    try:
        claim = group.check(conn) if group.check is not None else None
        if claim is None or (str(claim.key), claim.row) in given_up:
            return None
        if not group.makes_claim or any(table is claim.key.table for table, _ in group.inserts):
            _hold(conn, [claim])
    except DifyError as exc:
        return exc
    return None


def _hold(conn: sa.Connection, claims: list[Claim]) -> None:
    """Lock the rows that are claimed; raises for the first that is not as it should be."""
    columns: dict[tuple[sa.Column[Any], sa.Column[Any]], list[Claim]] = {}
    for claim in claims:
        columns.setdefault((claim.key, claim.column), []).append(claim)
    for (key, column), alike in columns.items():
        for start in range(0, len(alike), _ROWS):
            part = alike[start : start + _ROWS]
            query = sa.select(key, column).where(key.in_([claim.row for claim in part])).with_for_update()
            values: dict[str, Any] = {row[0]: row[1] for row in conn.execute(query)}
            for claim in part:
                if claim.row not in values or values[claim.row] != claim.value:
                    raise claim.refused()


def _is_written(conn: sa.Connection, groups: list[Group]) -> bool:
    """Whether a row of a batch is there, as this process made it: a batch is written whole or not at all.

    One row may have been changed since, so others are looked at too. A batch without rows only changes what is there,
    which may be done twice.
    """
    rows = [item for group in groups for item in group.inserts]
    return any(_is_there(conn, table, row) for table, row in rows[:_LOOKED_AT])


def _is_there(conn: sa.Connection, table: sa.Table, row: dict[str, Any]) -> bool:
    mine = [column == row[column.name] for column in table.primary_key if column.name in row]
    if len(mine) < len(table.primary_key):
        return False
    found = conn.execute(sa.select(table).where(*mine)).mappings().one_or_none()
    compared = {name: value for name, value in row.items() if isinstance(value, str | int | datetime)}
    return found is not None and all(found[name] == value for name, value in compared.items())


def _insert(conn: sa.Connection, groups: list[Group]) -> None:
    """Rows of one table with the same columns go in one statement."""
    inserts: dict[tuple[sa.Table, tuple[str, ...]], list[dict[str, Any]]] = {}
    for group in groups:
        for table, row in group.inserts:
            inserts.setdefault((table, tuple(sorted(row))), []).append(row)
    for (table, _), rows in inserts.items():
        for start in range(0, len(rows), _ROWS):
            conn.execute(table.insert(), rows[start : start + _ROWS])


def _update(conn: sa.Connection, groups: list[Group]) -> None:
    """Each row is changed once, to what the last group wants of each column."""
    changed: dict[tuple[sa.Table, str], dict[str, Any]] = {}
    for group in groups:
        for key, values in group.updates.items():
            changed.setdefault(key, {}).update(values)
    updates: dict[tuple[sa.Table, tuple[str, ...]], list[dict[str, Any]]] = {}
    for (table, row_id), values in changed.items():
        row = {"row_id": row_id, **{f"new_{name}": value for name, value in values.items()}}
        updates.setdefault((table, tuple(sorted(values))), []).append(row)
    for (table, names), rows in updates.items():
        statement = (
            table.update()
            .where(table.c.id == sa.bindparam("row_id"))
            .values({name: sa.bindparam(f"new_{name}") for name in names})
        )
        conn.execute(statement, rows)


def _left_behind(group: Group, future: asyncio.Future[None]) -> bool:
    """Refuse a group whose predecessor was refused, for the same reason, and without asking the database.

    The reason may be that the database was away: it is back for others, who must not wait because of this one.
    """
    if group.after is None or not group.after.done() or group.after.cancelled():
        return False
    error = group.after.exception()
    if error is not None and not future.done():
        future.set_exception(error)
    return error is not None


def _settle(future: asyncio.Future[None], error: Exception | None) -> None:
    if error is not None and not isinstance(error, DifyError):
        log.error("a group of rows was refused: %s: %s", type(error).__name__, error)
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


def _retrieve(future: asyncio.Future[None]) -> None:
    """Mark the outcome as seen: not everybody who puts a group waits for it."""
    if not future.cancelled():
        future.exception()
