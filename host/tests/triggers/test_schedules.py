"""Due schedules run once: with many pollers, after a kill at any step, after a long silence, on each engine."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from dify_host.apps.tables import app_triggers, apps, workflow_schedule_plans
from dify_host.db.engine import Database
from dify_host.db.outbox import outbox
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id
from dify_host.identity.tables import tenant_account_joins
from dify_host.jobs.schedule import TICKS
from dify_host.runs.tables import workflow_trigger_logs
from dify_host.settings import HostSettings
from dify_host.triggers.repository import TriggerRepository
from dify_host.triggers.schedules import fire_due_schedules
from dify_host.triggers.sync import TriggerSync

from .trigger_house import TriggerHouse, end, graph, schedule

CHILD = Path(__file__).with_name("poller_child.py")
NINE = datetime(2030, 1, 1, 9)
HOUR = timedelta(hours=1)


class Plans:
    """Published apps with a schedule, as rows of a database."""

    def __init__(self, db: Database) -> None:
        self.db, self.tenant, self.owner = db, Tenant(new_id()), new_id()

    async def open(self) -> Plans:
        async with self.db.write() as conn:
            row = {"tenant_id": self.tenant.id, "account_id": self.owner, "role": "owner"}
            await conn.execute(tenant_account_joins.insert().values(row))
        return self

    async def app(self, cron: str = "0 9 * * *", due: datetime | None = NINE) -> str:
        """An app whose schedule is due at a time; None leaves it as it was planned."""
        app_id = new_id()
        row = {"id": app_id, "tenant_id": self.tenant.id, "name": "A", "mode": "workflow", "workflow_id": new_id()}
        async with self.db.write() as conn:
            await conn.execute(apps.insert().values(row))
        await self.publish(app_id, cron)
        if due is not None:
            async with self.db.write() as conn:
                mine = workflow_schedule_plans.c.app_id == app_id
                await conn.execute(workflow_schedule_plans.update().where(mine).values(next_run_at=due))
        return app_id

    async def publish(self, app_id: str, cron: str) -> None:
        """Publish a graph with that schedule."""
        async with self.db.write() as conn:
            body = graph((schedule(cron=cron), end("end")))
            await TriggerSync(self.db, self.tenant).published(conn, app_id, body, self.owner)

    async def fire(self, now: datetime, **more: Any) -> int:
        """Look once."""
        return await fire_due_schedules(self.db, now=now, **{"grace": HOUR, **more})

    async def rows(self, table: sa.Table) -> list[Any]:
        """All rows of a table."""
        async with self.db.read() as conn:
            return list((await conn.execute(sa.select(table))).all())

    async def next_run(self, app_id: str) -> datetime:
        """When an app is due next."""
        (found,) = [row.next_run_at for row in await self.rows(workflow_schedule_plans) if row.app_id == app_id]
        return found


@pytest.fixture
async def plans(database: Database) -> Plans:
    """On each engine."""
    return await Plans(database).open()


@pytest.fixture
async def lite(sqlite_database: Database) -> Plans:
    """On SQLite."""
    return await Plans(sqlite_database).open()


async def test_a_due_schedule_is_a_log_and_a_job_and_moves_on(plans: Plans) -> None:
    app_id = await plans.app()
    assert await plans.fire(NINE - timedelta(seconds=1)) == 0
    assert await plans.fire(NINE + timedelta(seconds=20)) == 1
    assert await plans.fire(NINE + timedelta(seconds=20)) == 0

    (log,), (job,) = await plans.rows(workflow_trigger_logs), await plans.rows(outbox)
    assert (job.actor, job.queue) == ("run_trigger", "workflow")
    assert job.args == {"tenant_id": plans.tenant.id, "log_id": log.id}
    assert (log.app_id, log.root_node_id, log.status) == (app_id, "clock", "queued")
    assert (log.created_by_role, log.created_by) == ("account", plans.owner)
    assert log.trigger_metadata == {"scheduled_at": "2030-01-01T09:00:00Z", "late_seconds": 20.0}
    assert log.workflow_run_id is not None
    assert await plans.next_run(app_id) == NINE + timedelta(days=1)


async def test_many_pollers_run_each_slot_once(plans: Plans, database_url: str) -> None:
    for _ in range(12):
        await plans.app()
    others = [Database(database_url) for _ in range(3)]
    try:
        looks = [fire_due_schedules(db, grace=HOUR, now=NINE, batch=2) for db in [plans.db, *others] * 2]
        assert sum(await asyncio.gather(*looks)) + await plans.fire(NINE) == 12
    finally:
        for db in others:
            await db.close()
    assert len(await plans.rows(outbox)) == len(await plans.rows(workflow_trigger_logs)) == 12


@pytest.mark.parametrize(("when", "left"), [("before", 0), ("after", 1)])
async def test_a_poller_that_is_killed_loses_no_slot_and_repeats_none(
    plans: Plans, database_url: str, when: str, left: int
) -> None:
    await plans.app()
    command = [sys.executable, str(CHILD), database_url, when, NINE.isoformat()]
    child = await asyncio.to_thread(subprocess.run, command, timeout=60, check=False)
    assert child.returncode == -signal.SIGKILL
    assert len(await plans.rows(outbox)) == len(await plans.rows(workflow_trigger_logs)) == left

    assert await plans.fire(NINE) == 1 - left

    assert len(await plans.rows(outbox)) == len(await plans.rows(workflow_trigger_logs)) == 1


@pytest.mark.parametrize(
    ("cron", "late", "slot", "missed"),
    [
        ("0 9 * * *", timedelta(minutes=59), NINE, False),
        ("0 * * * *", timedelta(hours=5, minutes=30), NINE + 5 * HOUR, True),
        ("* * * * *", timedelta(days=400, seconds=30), NINE + timedelta(days=400), True),
        ("0 9 * * *", timedelta(minutes=61), None, True),
        ("0 9 * * *", timedelta(days=3, hours=2), None, True),
    ],
)
async def test_after_a_silence_the_latest_slot_runs_when_it_is_not_long_ago(
    lite: Plans, cron: str, late: timedelta, slot: datetime | None, missed: bool
) -> None:
    app_id = await lite.app(cron)
    assert await lite.fire(NINE + late) == (1 if slot else 0)

    (log,) = await lite.rows(workflow_trigger_logs)
    assert log.status == ("queued" if slot else "skipped")
    assert log.trigger_metadata["scheduled_at"] == f"{(slot or NINE).isoformat()}Z"
    assert ("missed_since" in log.trigger_metadata) is missed
    assert len(await lite.rows(outbox)) == (1 if slot else 0)
    if slot is None:
        assert (
            log.error == f"Missed since 2030-01-01T09:00:00Z; nothing looked for {int(late.total_seconds())} seconds."
        )
        assert log.workflow_run_id is None
    assert await lite.next_run(app_id) > NINE + late
    assert await lite.fire(NINE + late) == 0


async def test_a_bounded_look_leaves_the_rest_to_the_next(lite: Plans) -> None:
    for _ in range(5):
        await lite.app()
    assert [await lite.fire(NINE, limit=2, batch=1) for _ in range(4)] == [2, 2, 1, 0]


async def test_publishing_skips_no_slot_and_a_changed_schedule_begins_anew(lite: Plans) -> None:
    app_id = await lite.app()
    await lite.publish(app_id, "0 9 * * *")
    assert await lite.next_run(app_id) == NINE
    await lite.publish(app_id, "0 10 * * *")
    assert await lite.next_run(app_id) != NINE
    async with lite.db.write() as conn:
        await TriggerSync(lite.db, lite.tenant).published(conn, app_id, graph((end("end"),)), lite.owner)
    assert await lite.rows(workflow_schedule_plans) == await lite.rows(app_triggers) == []


async def test_what_is_off_or_unpublished_does_not_run(lite: Plans) -> None:
    off, abnormal = await lite.app(), await lite.app()
    async with lite.db.write() as conn:
        await conn.execute(app_triggers.update().where(app_triggers.c.app_id == off).values(status="disabled"))
        await conn.execute(apps.update().where(apps.c.id == abnormal).values(status="archived"))
    assert await lite.fire(NINE) == 0
    assert await lite.rows(workflow_trigger_logs) == []
    assert await lite.next_run(off) == NINE


async def test_a_time_zone_that_is_gone_stops_its_schedule_alone(lite: Plans) -> None:
    gone, fine = await lite.app(), await lite.app()
    async with lite.db.write() as conn:
        table = workflow_schedule_plans
        await conn.execute(table.update().where(table.c.app_id == gone).values(timezone="Mars/Base"))
    assert await lite.fire(NINE) == 1
    assert await lite.next_run(gone) is None
    assert await lite.next_run(fine) > NINE


async def test_a_schedule_that_is_switched_on_begins_with_its_next_time(house: TriggerHouse) -> None:
    app_id = await house.app(graph((schedule(), end("end"))))
    planned = (await house.plan(app_id)).next_run_at
    (trigger,) = await house.workspace.triggers.list(app_id)
    await house.workspace.triggers.enable(app_id, trigger.id, False)
    await house.set_due(app_id, NINE - timedelta(days=3650))

    await house.workspace.triggers.enable(app_id, trigger.id, True)

    assert (await house.plan(app_id)).next_run_at >= planned


async def test_a_scheduled_run_gives_system_variables_and_says_what_started_it(house: TriggerHouse) -> None:
    app_id = await house.app(graph((schedule(), end("end", at=("sys", "timestamp")))))
    await house.set_due(app_id, NINE)
    assert await fire_due_schedules(house.platform.db, grace=HOUR, now=NINE) == 1
    await house.work()
    (run,), (log,) = await house.runs(), await house.logs()
    assert (run.status, run.triggered_from, run.created_by) == ("succeeded", "schedule", house.owner_id)
    assert isinstance(run.outputs["at"], int)
    assert (log.status, log.workflow_run_id) == ("succeeded", run.id)


async def test_another_workspace_reaches_no_schedule(lite: Plans) -> None:
    app_id = await lite.app()
    stranger = TriggerRepository(lite.db, Tenant(new_id()))
    async with lite.db.write() as conn:
        assert await stranger.plans(conn, app_id) == {}
        await stranger.drop_plans(conn, app_id, keep=set())
    assert len(await lite.rows(workflow_schedule_plans)) == 1


def test_the_look_keeps_the_rhythm_of_its_setting() -> None:
    (tick,) = [item for item in TICKS if item.actor == "poll_schedules"]
    assert tick.under(HostSettings(workflow_schedule_poller_interval=5)).every == timedelta(minutes=5)
    assert not tick.enabled(HostSettings(enable_workflow_schedule_poller_task=False))
