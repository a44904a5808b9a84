"""What happens to forms that nobody answers, and to answers that nobody took up; for all workspaces, each minute."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.db.engine import Database, database_now
from dify_host.db.outbox import enqueue
from dify_host.human.records import ANSWERED, EXPIRED, TIMEOUT, WAITING
from dify_host.human.rows import QUEUE, RESUME_RUN
from dify_host.human.tables import human_input_forms
from dify_host.runs.tables import workflow_runs

__all__ = ["look_after_forms"]

log = logging.getLogger(__name__)

_BATCH: Final = 100
#: How old an answer is before its job is taken for lost.
_PATIENCE: Final = timedelta(minutes=5)
_forms = human_input_forms


async def look_after_forms(db: Database) -> int:
    """Time out what is due, close the forms of runs that have ended, and repeat jobs that are lost.

    Returns how many forms were changed. With any number of processes at once each form is changed once.
    """
    count = 0
    while done := await _time_out(db):
        count += done
    while done := await _close(db):
        count += done
    await _repeat(db)
    return count


async def _time_out(db: Database) -> int:
    """Forms whose time is up, and the jobs of their runs, in one transaction."""
    async with db.write() as conn:
        now = await database_now(conn)
        due = sa.select(_forms.c.id, _forms.c.tenant_id, _forms.c.workflow_run_id).where(
            _forms.c.status == WAITING, _forms.c.expiration_time <= now
        )
        order = (_forms.c.expiration_time, _forms.c.id)
        rows = (await conn.execute(due.order_by(*order).limit(_BATCH).with_for_update(skip_locked=True))).all()
        if rows:
            change = sa.update(_forms).where(_forms.c.id.in_([row.id for row in rows]), _forms.c.status == WAITING)
            await conn.execute(change.values(status=TIMEOUT))
        for tenant_id, run_id in dict.fromkeys((row.tenant_id, row.workflow_run_id) for row in rows):
            await _resume(conn, tenant_id, run_id)
    return len(rows)


async def _close(db: Database) -> int:
    """Forms that are open though their run has ended, or is gone."""
    runs = workflow_runs
    alive = sa.exists().where(runs.c.id == _forms.c.workflow_run_id, runs.c.finished_at.is_(None))
    query = sa.select(_forms.c.id).where(_forms.c.status == WAITING, ~alive).limit(_BATCH)
    async with db.write() as conn:
        ids = (await conn.execute(query)).scalars().all()
        if ids:
            change = sa.update(_forms).where(_forms.c.id.in_(ids), _forms.c.status == WAITING)
            await conn.execute(change.values(status=EXPIRED))
    return len(ids)


async def _repeat(db: Database) -> None:
    """Runs that wait though somebody has answered a while ago."""
    runs = workflow_runs
    async with db.write() as conn:
        before = await database_now(conn) - _PATIENCE
        left = (
            sa.select(_forms.c.tenant_id, _forms.c.workflow_run_id)
            .join(runs, runs.c.id == _forms.c.workflow_run_id)
            .where(
                _forms.c.status.in_(ANSWERED),
                _forms.c.resumed_at.is_(None),
                _forms.c.updated_at < before,
                runs.c.status == "paused",
            )
            .distinct()
            .limit(_BATCH)
        )
        for tenant_id, run_id in (await conn.execute(left)).all():
            log.warning("Run %s was answered and waits still; it is told again.", run_id)
            await _resume(conn, tenant_id, run_id)


async def _resume(conn: AsyncConnection, tenant_id: str, run_id: str) -> None:
    await enqueue(conn, RESUME_RUN, {"tenant_id": tenant_id, "run_id": run_id}, queue=QUEUE)
