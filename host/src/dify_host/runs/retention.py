"""Which runs leave: those of an app that is gone, finished ones by age, and by count an app. Messages stay.

Candidates are found by an index, oldest first, and a batch begins behind the last one; nothing that is under way or
waits for somebody is ever among them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from dify_host.apps.tables import apps
from dify_host.db.engine import Database
from dify_host.db.tenant import Tenant
from dify_host.runs import tables
from dify_host.runs.removal import ENDED, OF_LOG, Removal

__all__ = ["Retention", "clean_old_runs", "delete_app_rows"]

_BATCH: Final = 200
#: How a trigger's log stands when nothing more happens to it.
_LOGGED: Final = (*ENDED, "skipped")

# What hangs on a message, by the column that says so.
_OF_MESSAGE = (
    tables.message_feedbacks,
    tables.message_files,
    tables.message_agent_thoughts,
    tables.dataset_retriever_resources,
    tables.saved_messages,
)
_OF_APP = (
    tables.message_annotations,
    tables.app_annotation_hit_histories,
    tables.pinned_conversations,
    tables.workflow_conversation_variables,
    tables.workflow_trigger_logs,
    tables.conversations,
)
_runs, _events, _nodes, _logs = (
    tables.workflow_runs,
    tables.workflow_run_events,
    tables.workflow_node_executions,
    tables.workflow_trigger_logs,
)


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept: runs that began at `before` (UTC) or later, of each app the newest `keep`; None and 0 keep all."""

    before: datetime | None = None
    keep: int = 0
    batch: int = 100


async def clean_old_runs(db: Database, kept: Retention, *, dry_run: bool = False) -> dict[str, int]:
    """Delete the finished runs of all workspaces that are not kept, and return how many rows went, by table.

    By age leave also: the logs of runs that only a message tells of, records of nodes that were tried alone, and logs
    of triggers that started nothing. With `dry_run` nothing is deleted.
    """
    removal = Removal(db, dry_run=dry_run)
    if kept.before is not None:
        await _clean_by_age(removal, kept.before, kept.batch)
    if kept.keep:
        async for app_id in _apps(db):
            await _clean_by_count(removal, app_id, kept)
    return dict(removal.rows)


async def delete_app_rows(db: Database, tenant: Tenant, app_id: str) -> int:
    """Delete everything that running this app left behind, and return the number of runs and messages."""
    removal = Removal(db)
    count = 0
    own = (_runs.c.tenant_id == tenant.id, _runs.c.app_id == app_id)
    async for ids in _batches(db, _runs.c.created_at, _runs.c.id, own, _BATCH):
        count += await removal.runs(ids)
    of_app = tables.messages.c.app_id == app_id
    async for ids in _batches(db, tables.messages.c.created_at, tables.messages.c.id, (of_app,), _BATCH):
        await removal.hanging([table.c.message_id for table in _OF_MESSAGE], ids)
        await removal.hanging(OF_LOG, ids)  # of a run that only the message tells of
        count += await removal.by(tables.messages.c.id, ids)
    await _take_single_steps(removal, (_nodes.c.tenant_id == tenant.id, _nodes.c.app_id == app_id), _BATCH)
    for table in _OF_APP:
        await removal.by(table.c.app_id, [app_id])
    return count


# -- by age -------------------------------------------------------------------------------------------------------


async def _clean_by_age(removal: Removal, before: datetime, batch: int) -> None:
    db = removal.db
    old = (_runs.c.created_at < before, _runs.c.status.in_(ENDED))
    async for ids in _batches(db, _runs.c.created_at, _runs.c.id, old, batch):
        await removal.runs(ids)
    alone = (
        _events.c.created_at < before,
        _events.c.type == "run_finished",
        ~sa.exists().where(_runs.c.id == _events.c.run_id),
    )
    async for ids in _batches(db, _events.c.created_at, _events.c.run_id, alone, batch):
        await removal.hanging(OF_LOG, ids)
    await _take_single_steps(removal, (_nodes.c.created_at < before,), batch)
    started_nothing = (
        _logs.c.created_at < before,
        _logs.c.status.in_(_LOGGED),
        ~sa.exists().where(_runs.c.id == _logs.c.workflow_run_id),
    )
    async for ids in _batches(db, _logs.c.created_at, _logs.c.id, started_nothing, batch):
        await removal.by(_logs.c.id, ids)


async def _take_single_steps(removal: Removal, which: Sequence[sa.ColumnElement[bool]], batch: int) -> None:
    """Records of nodes that were tried alone; what they have in the storage hangs on each by itself."""
    alone = (*which, _nodes.c.workflow_run_id.is_(None))
    async for ids in _batches(removal.db, _nodes.c.created_at, _nodes.c.id, alone, batch):
        await removal.by(_nodes.c.id, ids)
        await removal.by(tables.workflow_payloads.c.owner_id, ids)


# -- by count -----------------------------------------------------------------------------------------------------


async def _clean_by_count(removal: Removal, app_id: str, kept: Retention) -> None:
    bound = await _oldest_kept(removal.db, app_id, kept.keep)
    if bound is None:
        return
    more = [_runs.c.app_id == app_id, _runs.c.status.in_(ENDED), _runs.c.created_at < bound]
    if kept.before is not None:
        more.append(_runs.c.created_at >= kept.before)  # the others have been taken
    async for ids in _batches(removal.db, _runs.c.created_at, _runs.c.id, more, kept.batch):
        await removal.runs(ids)


async def _oldest_kept(db: Database, app_id: str, keep: int) -> datetime | None:
    """When the oldest of the newest `keep` finished runs of an app began; None when it has no more than these.

    Status by status, as the index has them: no engine has to sort all the runs of an app.
    """
    newest: list[datetime] = []
    async with db.read() as conn:
        for status in ENDED:
            of_status = sa.select(_runs.c.created_at).where(_runs.c.app_id == app_id, _runs.c.status == status)
            newest += (await conn.execute(of_status.order_by(_runs.c.created_at.desc()).limit(keep + 1))).scalars()
    newest.sort(reverse=True)
    return newest[keep - 1] if len(newest) > keep else None


async def _apps(db: Database) -> AsyncIterator[str]:
    last = ""
    while True:
        query = sa.select(apps.c.id).order_by(apps.c.id).limit(_BATCH)
        async with db.read() as conn:
            ids = (await conn.execute(query.where(apps.c.id > last) if last else query)).scalars().all()
        for app_id in ids:
            yield app_id
        if len(ids) < _BATCH:
            return
        last = ids[-1]


async def _batches(
    db: Database, at: sa.Column[Any], key: sa.Column[Any], which: Sequence[sa.ColumnElement[bool]], limit: int
) -> AsyncIterator[list[str]]:
    """The keys of rows, oldest first; each batch begins behind the last one, whatever became of that."""
    query = sa.select(at, key).where(*which).order_by(at, key).limit(limit)
    behind: sa.ColumnElement[bool] = sa.true()
    while True:
        async with db.read() as conn:
            rows = (await conn.execute(query.where(behind))).all()
        if rows:
            yield [row[1] for row in rows]
        if len(rows) < limit:
            return
        last_at, last_key = (sa.literal(rows[-1][place], column.type) for place, column in enumerate((at, key)))
        # The first part stands alone besides: MySQL finds no place in an index by a pair.
        behind = sa.and_(at >= last_at, sa.tuple_(at, key) > sa.tuple_(last_at, last_key))
