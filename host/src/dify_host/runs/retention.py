"""Deletes runs: those of an app that is gone, and those older than they are to be kept; in small transactions.

A batch takes what hangs on its runs before the runs themselves, so an interrupted deletion is simply repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.db.engine import Database
from dify_host.db.tenant import Tenant
from dify_host.human.tables import human_input_forms
from dify_host.runs import tables

__all__ = ["delete_app_rows", "delete_old_runs"]

_BATCH = 200
_ENDED = ("succeeded", "failed", "stopped", "partial-succeeded")

# What hangs on a message, and what hangs on a run, by the column that says so.
_OF_MESSAGE = (
    tables.message_feedbacks,
    tables.message_files,
    tables.message_agent_thoughts,
    tables.dataset_retriever_resources,
    tables.saved_messages,
)
_OF_RUN = (tables.workflow_node_executions, tables.workflow_app_logs, tables.workflow_pauses, human_input_forms)
_OF_APP = (
    tables.message_annotations,
    tables.app_annotation_hit_histories,
    tables.pinned_conversations,
    tables.workflow_conversation_variables,
    tables.workflow_trigger_logs,
    tables.conversations,
)


async def delete_app_rows(db: Database, tenant: Tenant, app_id: str) -> int:
    """Delete everything that running this app left behind, and return the number of runs and messages."""
    count = 0
    runs, messages = tables.workflow_runs, tables.messages
    own = sa.and_(runs.c.tenant_id == tenant.id, runs.c.app_id == app_id)
    while batch := await _delete_runs(db, own, _BATCH):
        count += batch
    while batch := await _delete_messages(db, messages.c.app_id == app_id, _BATCH):
        count += batch
    async with db.write() as conn:
        for table in _OF_APP:
            await conn.execute(table.delete().where(table.c.app_id == app_id))
    return count


async def delete_old_runs(db: Database, *, before: datetime, limit: int = 100) -> int:
    """Delete up to `limit` ended runs of all workspaces that began before a time (UTC), and return how many.

    Messages and their conversations stay: they are what people wrote.
    """
    runs = tables.workflow_runs
    return await _delete_runs(db, sa.and_(runs.c.created_at < before, runs.c.status.in_(_ENDED)), limit)


async def _delete_runs(db: Database, which: sa.ColumnElement[bool], limit: int) -> int:
    runs = tables.workflow_runs
    query = sa.select(runs.c.id).where(which).order_by(runs.c.created_at).limit(limit)
    async with db.write() as conn:
        ids = (await conn.execute(query)).scalars().all()
        if ids:
            for table in _OF_RUN:
                await conn.execute(table.delete().where(table.c.workflow_run_id.in_(ids)))
            reasons = tables.workflow_pause_reasons
            await conn.execute(reasons.delete().where(reasons.c.pause_id.in_(ids)))  # a pause has the id of its run
            for table in (tables.workflow_run_events, tables.workflow_run_leases):
                await conn.execute(table.delete().where(table.c.run_id.in_(ids)))
            await conn.execute(runs.delete().where(runs.c.id.in_(ids)))
    return len(ids)


async def _delete_messages(db: Database, which: sa.ColumnElement[bool], limit: int) -> int:
    messages = tables.messages
    async with db.write() as conn:
        ids = (await conn.execute(sa.select(messages.c.id).where(which).limit(limit))).scalars().all()
        if ids:
            await _forget_messages(conn, ids)
    return len(ids)


async def _forget_messages(conn: AsyncConnection, ids: Sequence[Any]) -> None:
    for table in _OF_MESSAGE:
        await conn.execute(table.delete().where(table.c.message_id.in_(ids)))
    await conn.execute(tables.messages.delete().where(tables.messages.c.id.in_(ids)))
