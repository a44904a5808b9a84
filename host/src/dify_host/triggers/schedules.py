"""The poller of schedules: starts what is due, moves its next time on, and says what was missed.

A schedule that is found late (nothing ran, the database was away) runs once, for the latest of its missed slots, when
that is at most WORKFLOW_SCHEDULE_MISFIRE_GRACE ago; otherwise nothing runs and the log says `skipped`. Move and job are
one transaction under a lock of the row: with any number of pollers, killed at any moment, a slot runs once.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from dify_kernel.errors import BadInput
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.apps.tables import app_triggers, apps, workflow_schedule_plans
from dify_host.db.engine import Database, database_now
from dify_host.db.repository import to_struct
from dify_host.db.tenant import Tenant
from dify_host.identity.tables import tenant_account_joins
from dify_host.triggers.cron import Schedule
from dify_host.triggers.graph import SCHEDULE
from dify_host.triggers.intake import write_run
from dify_host.triggers.records import SchedulePlan
from dify_host.triggers.repository import ENABLED, TriggerRepository, log_values

__all__ = ["SKIPPED", "fire_due_schedules"]

log = logging.getLogger(__name__)

SKIPPED: Final = "skipped"


async def fire_due_schedules(
    db: Database, *, grace: timedelta, batch: int = 100, limit: int = 0, now: datetime | None = None
) -> int:
    """Start the schedules of all tenants that are due, `batch` a transaction, and return how many runs were begun.

    `limit` bounds one call (0: no limit); what is over it is due at the next. `now` is the database's time.
    """
    begun = seen = 0
    while not limit or seen < limit:
        size = min(batch, limit - seen) if limit else batch
        async with db.write() as conn:
            at = now or await database_now(conn)
            plans = await _due(conn, at, size)
            for plan in plans:
                begun += await _fire(db, conn, plan, at, grace)
        seen += len(plans)
        if len(plans) < size:
            break
    return begun


async def _due(conn: AsyncConnection, now: datetime, limit: int) -> list[SchedulePlan]:
    """The schedules that are due and on, locked; those that another poller holds are left to it."""
    plans, triggers = workflow_schedule_plans, app_triggers
    on = (
        sa.exists()
        .where(triggers.c.app_id == plans.c.app_id, triggers.c.node_id == plans.c.node_id)
        .where(triggers.c.status == ENABLED)
    )
    due = sa.select(plans).where(plans.c.next_run_at <= now, on).order_by(plans.c.next_run_at, plans.c.id)
    rows = (await conn.execute(due.limit(limit).with_for_update(skip_locked=True))).all()
    return [to_struct(row, SchedulePlan) for row in rows]


async def _fire(db: Database, conn: AsyncConnection, plan: SchedulePlan, now: datetime, grace: timedelta) -> int:
    """Move one schedule on and write the job of its run, or what was missed; 1 for a run."""
    due = plan.next_run_at
    if due is None:
        return 0
    repository = TriggerRepository(db, Tenant(plan.tenant_id))
    try:
        schedule = Schedule(plan.cron_expression, plan.timezone)
    except BadInput as exc:  # a time zone that this machine no longer knows
        await repository.update_plan(conn, plan.id, {"next_run_at": None})
        log.error("The schedule %s of app %s has no times: %s", plan.node_id, plan.app_id, exc)
        return 0
    await repository.update_plan(conn, plan.id, {"next_run_at": schedule.after(now)})
    values = await _values(conn, plan, now)
    if values is None:
        return 0
    before = due - timedelta(microseconds=1)
    slot = schedule.latest(max(before, now - grace), now)
    metadata: dict[str, Any] = {
        "scheduled_at": _text(slot or due),
        "late_seconds": (now - (slot or due)).total_seconds(),
    }
    if slot is None or slot > due:
        metadata["missed_since"] = _text(due)
        log.warning("The schedule %s of app %s missed its times from %s on.", plan.node_id, plan.app_id, _text(due))
    if slot is None:
        error = f"Missed since {_text(due)}; nothing looked for {int((now - due).total_seconds())} seconds."
        skipped = {"status": SKIPPED, "error": error, "finished_at": now, "trigger_metadata": metadata}
        await repository.add_log(conn, {**values, **skipped})
        return 0
    await write_run(conn, repository, {**values, "trigger_metadata": metadata})
    return 1


async def _values(conn: AsyncConnection, plan: SchedulePlan, now: datetime) -> dict[str, Any] | None:
    """What the log says of a run of the app's published workflow, as the workspace's owner; None without either."""
    joins = tenant_account_joins
    app = sa.select(apps.c.workflow_id).where(
        apps.c.id == plan.app_id, apps.c.tenant_id == plan.tenant_id, apps.c.status == "normal"
    )
    owner = sa.select(joins.c.account_id).where(joins.c.tenant_id == plan.tenant_id, joins.c.role == "owner").limit(1)
    workflow_id = (await conn.execute(app)).scalar()
    account_id = (await conn.execute(owner)).scalar()
    if workflow_id is None or account_id is None:
        return None
    return log_values(
        app_id=plan.app_id,
        workflow_id=workflow_id,
        node_id=plan.node_id,
        trigger_type=SCHEDULE,
        status="queued",
        created_by_role="account",
        created_by=account_id,
        at=now,
        inputs={},
    )


def _text(moment: datetime) -> str:
    return f"{moment.isoformat(timespec='seconds')}Z"
