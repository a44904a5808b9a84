"""Deletes runs with all that hangs on them, or counts it: by primary key, in transactions that keep nobody waiting.

What hangs on a run goes before the run itself, so an interrupted deletion is simply repeated. A run that somebody holds
is left for the next time, where the engine can tell. SQLite has one lock for all: there every transaction is followed
by a rest as long as itself, so that others get their turn.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from dify_host.db.engine import Database
from dify_host.human.tables import human_input_forms
from dify_host.runs import tables

__all__ = ["ENDED", "OF_LOG", "OF_RUN", "Removal"]

#: How a run stands that will never change.
ENDED: Final = ("succeeded", "failed", "stopped", "partial-succeeded")
#: Rows of one transaction.
_ROWS: Final = 200

#: The log of a run, by the column that names it; what it has in the storage is let go last.
OF_LOG: Final[tuple[sa.Column[Any], ...]] = (
    tables.workflow_run_events.c.run_id,
    tables.workflow_run_leases.c.run_id,
    tables.workflow_payloads.c.owner_id,
)
#: All that hangs on a run.
OF_RUN: Final[tuple[sa.Column[Any], ...]] = (
    human_input_forms.c.workflow_run_id,
    tables.workflow_pause_reasons.c.pause_id,  # a pause has the id of its run
    tables.workflow_pauses.c.workflow_run_id,
    tables.workflow_node_executions.c.workflow_run_id,
    tables.workflow_app_logs.c.workflow_run_id,
    tables.workflow_trigger_logs.c.workflow_run_id,
    *OF_LOG,
)


class Removal:
    """One deletion; `rows` says how many went, by table. With `dry_run` it counts and deletes nothing."""

    def __init__(self, db: Database, *, dry_run: bool = False) -> None:
        self.db, self.dry_run = db, dry_run
        self.rows: Counter[str] = Counter()

    async def runs(self, ids: Sequence[str]) -> int:
        """Take these runs; returns how many."""
        await self.hanging(OF_RUN, ids)
        return await self.by(tables.workflow_runs.c.id, ids)

    async def hanging(self, columns: Sequence[sa.Column[Any]], ids: Sequence[str]) -> None:
        """Take what names one of these ids, all of it."""
        for column in columns:
            await self.by(column, ids, skip_held=False)

    async def by(self, column: sa.Column[Any], values: Sequence[str], *, skip_held: bool = True) -> int:
        """Take the rows whose column has one of these values, but those that somebody holds; returns how many."""
        count = await self._count(column, values) if self.dry_run else await self._delete(column, values, skip_held)
        if count:
            self.rows[column.table.name] += count
        return count

    async def _count(self, column: sa.Column[Any], values: Sequence[str]) -> int:
        query = sa.select(sa.func.count()).select_from(column.table).where(column.in_(values))
        async with self.db.read() as conn:
            return int((await conn.execute(query)).scalar_one())

    async def _delete(self, column: sa.Column[Any], values: Sequence[str], skip_held: bool) -> int:
        key = list(column.table.primary_key.columns)
        query = sa.select(*key).where(column.in_(values)).limit(_ROWS)
        if skip_held:
            query = query.with_for_update(skip_locked=True)
        count = 0
        while values:
            began = time.monotonic()
            async with self.db.write() as conn:
                found = (await conn.execute(query)).all()
                if found:
                    keys = [{f"key_{name}": value for name, value in row._mapping.items()} for row in found]
                    await conn.execute(_by_key(column.table), keys)
            count += len(found)
            if self.db.dialect == "sqlite":
                await asyncio.sleep(time.monotonic() - began)
            if len(found) < _ROWS:
                break
        return count


def _by_key(table: sa.Table) -> sa.Delete:
    """Delete row by row: given many keys of a small table, MySQL reads the whole table, and waits for any lock."""
    return sa.delete(table).where(*(column == sa.bindparam(f"key_{column.name}") for column in table.primary_key))
