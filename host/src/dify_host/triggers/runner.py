"""Runs what triggers have queued: one job, one run, however often the job comes."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Any, Final

import sqlalchemy as sa
from dify_kernel.errors import DifyError, RunFenced

from dify_host.apps.repository import AppRepository
from dify_host.db.engine import Database, database_now
from dify_host.db.outbox import enqueue
from dify_host.db.tenant import Tenant
from dify_host.db.types import utc_now
from dify_host.runs.programs import Programs
from dify_host.runs.recorder import Creator
from dify_host.runs.run_records import run_exists
from dify_host.runs.service import RunRequest, RunService
from dify_host.runs.tables import workflow_run_leases, workflow_runs, workflow_trigger_logs
from dify_host.triggers.graph import TRIGGERS
from dify_host.triggers.intake import QUEUE, RUN_TRIGGER
from dify_host.triggers.records import TriggerLog
from dify_host.triggers.repository import TriggerRepository

__all__ = ["TriggerRunner", "repeat_lost_triggers", "settle_trigger_logs"]

log = logging.getLogger(__name__)

#: Where a log stands when nothing more happens to it.
ENDED: Final = ("succeeded", "failed", "stopped", "partial-succeeded", "skipped")
_RUNNING: Final = "running"
_BATCH: Final = 200
#: How long after an event its job is taken for lost, and how often that time is doubled for the next repetition.
_PATIENCE: Final = timedelta(minutes=5)
_MOST_DOUBLED: Final = 8
#: What a log takes over from the end of its run.
_COPIED: Final = ("status", "outputs", "elapsed_time", "total_tokens")


class TriggerRunner:
    """The triggered runs of one tenant."""

    def __init__(
        self,
        db: Database,
        tenant: Tenant,
        *,
        apps: AppRepository,
        programs: Programs,
        runs: RunService,
        patience: float,
    ) -> None:
        self._repository = TriggerRepository(db, tenant)
        self._db, self._tenant, self._apps = db, tenant, apps
        self._programs, self._runs, self._patience = programs, runs, patience

    async def run(self, log_id: str) -> None:
        """Begin the run of a log and wait for its end, `patience` seconds at most; nothing when it exists already.

        Waiting only bounds how many run at a time: the run goes on without it. Raises what may be tried again.
        """
        entry = await self._repository.log(log_id)
        if entry is None or entry.status in ENDED or entry.workflow_run_id is None:
            return
        if await run_exists(self._db, entry.workflow_run_id):
            return  # what came of it is written down by `settle_trigger_logs`
        try:
            await self._start(entry, entry.workflow_run_id)
        except RunFenced as exc:
            log.info("The run of trigger log %s has found another process: %s", log_id, exc)
        except DifyError as exc:
            if exc.retryable:
                raise
            if await run_exists(self._db, entry.workflow_run_id):
                log.warning("The run of trigger log %s goes on without its job: %s", log_id, exc)
                return  # another process begins it at the same time, or takes it up
            values = {"status": "failed", "error": str(exc), "finished_at": utc_now()}
            await self._repository.update_log(log_id, values, unless=ENDED)

    async def _start(self, entry: TriggerLog, run_id: str) -> None:
        app = await self._apps.get(entry.app_id)
        record = await self._apps.published_workflow(entry.app_id, entry.workflow_id)
        program = self._programs.workflow(record, root_id=entry.root_node_id)
        request = RunRequest(
            tenant=self._tenant,
            app=app,
            creator=Creator(role=entry.created_by_role, id=entry.created_by),
            user_id=entry.created_by,
            inputs=dict(entry.inputs or {}),
            invoke_from="trigger",
            from_source="api",
            triggered_from=_SOURCES[entry.trigger_type],
            run_id=run_id,
            root_id=entry.root_node_id,
        )
        started = await self._runs.start(program, request)
        await self._repository.update_log(entry.id, {"status": _RUNNING}, unless=ENDED)
        try:
            ended = await asyncio.wait_for(started.handle.wait(), self._patience)
        except TimeoutError:
            log.warning("Run %s of a trigger goes on without its job.", run_id)
            return
        values: dict[str, Any] = {name: getattr(ended, name) for name in _COPIED} | {"error": ended.error or None}
        if ended.status != "paused":
            values["finished_at"] = utc_now()
        await self._repository.update_log(entry.id, values, unless=ENDED)


_SOURCES: Final = {kind: kind.removeprefix("trigger-") for kind in TRIGGERS}


async def repeat_lost_triggers(db: Database) -> int:
    """Write the jobs anew of events whose run has not begun for long, of all tenants; returns how many these were.

    A job that only waits its turn comes twice then, which begins one run; each repetition waits twice as long.
    """
    logs = workflow_trigger_logs
    columns = (logs.c.id, logs.c.tenant_id, logs.c.triggered_at, logs.c.retry_count)
    count, page = 0, sa.select(*columns).order_by(logs.c.id).limit(_BATCH)
    while True:
        async with db.write() as conn:
            now = await database_now(conn)
            late = page.where(
                logs.c.status.in_(("queued", _RUNNING)),
                logs.c.triggered_at <= now - _PATIENCE,
                logs.c.workflow_run_id.is_not(None),
                ~_begun(logs.c.workflow_run_id),
            )
            rows = (await conn.execute(late.with_for_update(skip_locked=True))).all()
            for row in rows:
                if row.triggered_at + _PATIENCE * _waits(row.retry_count) > now:
                    continue
                log.warning("The run of trigger log %s has not begun; its job is written again.", row.id)
                job_id = await enqueue(conn, RUN_TRIGGER, {"tenant_id": row.tenant_id, "log_id": row.id}, queue=QUEUE)
                values = {"retry_count": row.retry_count + 1, "celery_task_id": job_id}
                await conn.execute(logs.update().where(logs.c.id == row.id).values(values))
                count += 1
        if len(rows) < _BATCH:
            return count
        page = sa.select(*columns).where(logs.c.id > rows[-1].id).order_by(logs.c.id).limit(_BATCH)


def _waits(repeated: int) -> int:
    """How many patiences after its event a job is written again that was so often before: 1, 2, 4 … 256, 512, 768 …"""
    return 2**repeated if repeated < _MOST_DOUBLED else 2**_MOST_DOUBLED * (repeated - _MOST_DOUBLED + 1)


def _begun(run_id: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    """What `run_exists` asks, for a column."""
    runs, leases = workflow_runs, workflow_run_leases
    return sa.or_(sa.exists().where(runs.c.id == run_id), sa.exists().where(leases.c.run_id == run_id))


async def settle_trigger_logs(db: Database) -> int:
    """Write down the ends of runs whose job did not see them, of all tenants, and return how many these were."""
    logs, runs = workflow_trigger_logs, workflow_runs
    columns = (
        runs.c.status,
        runs.c.outputs,
        runs.c.error,
        runs.c.elapsed_time,
        runs.c.total_tokens,
        runs.c.finished_at,
    )
    ended = (
        sa.select(logs.c.id.label("log_id"), *columns)
        .join(runs, runs.c.id == logs.c.workflow_run_id)
        .where(logs.c.status.in_(("queued", _RUNNING, "paused")), runs.c.finished_at.is_not(None))
        .limit(_BATCH)
    )
    count = 0
    while True:
        async with db.write() as conn:
            rows = (await conn.execute(ended)).all()
            for row in rows:
                values: dict[str, Any] = {column.name: getattr(row, column.name) for column in columns}
                await conn.execute(logs.update().where(logs.c.id == row.log_id).values(values))
        count += len(rows)
        if len(rows) < _BATCH:
            return count
