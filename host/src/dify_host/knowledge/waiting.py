"""Why a document is not indexed yet, in words: no document waits without a reason that can be seen."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.db.engine import Database
from dify_host.db.types import utc_now
from dify_host.knowledge.records import Document
from dify_host.knowledge.tables import knowledge_tasks, knowledge_turns
from dify_host.knowledge.tasks import INDEX, Tasks

__all__ = ["Backlog", "backlog", "reasons"]

_QUIET = timedelta(minutes=2)


async def reasons(conn: AsyncConnection, tasks: Tasks, found: Sequence[Document]) -> dict[str, str]:
    """What each document that is not at its end waits for, by its id; documents at their end are left out."""
    going = [document for document in found if document.indexing_status not in ("completed", "error")]
    queued = await tasks.of(conn, INDEX, [document.id for document in going]) if going else {}
    quiet = await _quiet(conn, tasks) if queued else ""
    told: dict[str, str] = {}
    for document in going:
        task = queued.get(document.id)
        if document.is_paused:
            told[document.id] = "It is paused, and goes on when it is resumed."
        elif task is None:
            told[document.id] = "It has no task: the run of a knowledge pipeline writes it, or it is to be retried."
        elif task.error is not None:
            told[document.id] = f"Its task failed: {task.error}"
        elif task.note is not None:
            told[document.id] = task.note
        elif task.slot is not None:
            told[document.id] = "A worker has it in hand."
        else:
            before = await tasks.before(conn, task)
            told[document.id] = f"{before} tasks of this workspace are before it." if before else "It is the next."
            if quiet:
                told[document.id] += f" {quiet}"
    return told


async def _quiet(conn: AsyncConnection, tasks: Tasks) -> str:
    """Say that no worker has been here for a while; nothing while one is."""
    seen = await tasks.seen(conn)
    if seen is None or utc_now() - seen < _QUIET:
        return ""
    return f"No worker has come for it since {seen:%H:%M:%S} UTC: they are busy, or none runs (`dify worker`)."


class Backlog(msgspec.Struct, frozen=True, kw_only=True):
    """What waits in all workspaces: tasks that are to be done, that have failed, and since when nobody has come."""

    waiting: int
    failed: int
    workspaces: int
    quiet_since: datetime | None


async def backlog(db: Database) -> Backlog:
    """Count the tasks of every workspace."""
    is_open, tenants = knowledge_tasks.c.error.is_(None), sa.distinct(knowledge_tasks.c.tenant_id)
    counts = sa.select(
        sa.func.count(sa.case((is_open, 1))), sa.func.count(sa.case((sa.not_(is_open), 1))), sa.func.count(tenants)
    ).select_from(knowledge_tasks)
    oldest = sa.select(sa.func.min(knowledge_turns.c.looked_at)).where(knowledge_turns.c.active.is_(True))
    async with db.read() as conn:
        waiting, failed, workspaces = (await conn.execute(counts)).one()
        since: datetime | None = (await conn.execute(oldest)).scalar_one()
    return Backlog(waiting=waiting, failed=failed, workspaces=workspaces, quiet_since=since if waiting else None)
