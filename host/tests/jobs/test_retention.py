"""Old runs go, with all that hangs on them; what is young, running, or another app's stays."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from dify_host.apps.tables import apps
from dify_host.db.catalog import metadata
from dify_host.db.engine import Database
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id, utc_now
from dify_host.human.tables import human_input_forms
from dify_host.knowledge.cached_vectors import forget_embeddings
from dify_host.knowledge.tables import embeddings
from dify_host.runs import tables
from dify_host.runs.retention import Retention, clean_old_runs, delete_app_rows

TENANT, APP = new_id(), new_id()
OLD = utc_now() - timedelta(days=40)
MONTH_AGO = utc_now() - timedelta(days=30)
STATUSES = ("succeeded", "failed", "stopped", "partial-succeeded", "succeeded", "failed")


def filled(table: sa.Table, **values: Any) -> dict[str, Any]:
    """A row of a table: given values, and something that fits wherever one is required."""
    row: dict[str, Any] = {}
    for column in table.columns:
        if column.name in values:
            row[column.name] = values[column.name]
        elif not column.nullable and column.default is None and column.server_default is None:
            row[column.name] = sample(column)
    return row


def sample(column: sa.Column[Any]) -> Any:
    kind = column.type
    if isinstance(kind, sa.types.TypeDecorator) and type(kind).__name__ == "Id":
        return new_id()
    if isinstance(kind, sa.Integer | sa.Float | sa.Numeric):
        return 1
    if isinstance(kind, sa.Boolean):
        return False
    if type(kind).__name__ == "Moment":
        return utc_now()
    return {} if type(kind).__name__ in ("Json", "JsonText", "JSON") else "x"


async def add_run(db: Database, *, app: str = APP, at: datetime = OLD, status: str = "succeeded") -> str:
    run_id = new_id()
    async with db.write() as conn:
        run = filled(tables.workflow_runs, id=run_id, tenant_id=TENANT, app_id=app, created_at=at, status=status)
        await conn.execute(tables.workflow_runs.insert().values(run))
        for table in (tables.workflow_node_executions, tables.workflow_app_logs):
            row = filled(table, id=new_id(), tenant_id=TENANT, app_id=app, workflow_run_id=run_id)
            await conn.execute(table.insert().values(row))
    return run_id


async def add_message(db: Database, app: str) -> str:
    message_id, conversation_id = new_id(), new_id()
    async with db.write() as conn:
        await conn.execute(
            tables.conversations.insert().values(filled(tables.conversations, id=conversation_id, app_id=app))
        )
        row = filled(tables.messages, id=message_id, app_id=app, conversation_id=conversation_id)
        await conn.execute(tables.messages.insert().values(row))
        for table in (tables.message_feedbacks, tables.message_files):
            hung = filled(table, id=new_id(), app_id=app, conversation_id=conversation_id, message_id=message_id)
            await conn.execute(table.insert().values(hung))
    return message_id


async def left(db: Database, *of: sa.Table) -> list[int]:
    async with db.read() as conn:
        return [(await conn.execute(sa.select(sa.func.count()).select_from(table))).scalar_one() for table in of]


async def run_ids(db: Database) -> set[str]:
    async with db.read() as conn:
        return set((await conn.execute(sa.select(tables.workflow_runs.c.id))).scalars())


async def test_only_old_runs_that_ended_go(database: Database) -> None:
    for _ in range(3):
        await add_run(database)
    kept = {await add_run(database, at=utc_now())}
    kept |= {await add_run(database, status=status) for status in ("running", "paused")}
    rule = Retention(before=MONTH_AGO, batch=2)
    counted = await clean_old_runs(database, rule, dry_run=True)
    assert counted == dict.fromkeys(("workflow_runs", "workflow_node_executions", "workflow_app_logs"), 3)
    assert await left(database, tables.workflow_runs) == [6]
    assert await clean_old_runs(database, rule) == counted
    assert await clean_old_runs(database, rule) == {}
    assert await run_ids(database) == kept
    assert await left(database, tables.workflow_node_executions, tables.workflow_app_logs) == [3, 3]


async def test_the_newest_of_each_app_stay(database: Database) -> None:
    other, gone = new_id(), new_id()
    async with database.write() as conn:
        for app in (APP, other):
            await conn.execute(apps.insert().values(filled(apps, id=app, tenant_id=TENANT)))
    moments = [utc_now() - timedelta(minutes=minute) for minute in range(6)]
    ids = [await add_run(database, at=at, status=status) for at, status in zip(moments, STATUSES, strict=True)]
    waiting = await add_run(database, at=moments[5], status="paused")
    others = {await add_run(database, app=app, at=at) for app in (other, gone) for at in moments[:2]}
    assert (await clean_old_runs(database, Retention(keep=2), dry_run=True))["workflow_runs"] == 4
    assert (await clean_old_runs(database, Retention(keep=2)))["workflow_runs"] == 4
    assert await run_ids(database) == {*ids[:2], waiting, *others}


async def test_age_and_count_count_each_run_once(database: Database) -> None:
    async with database.write() as conn:
        await conn.execute(apps.insert().values(filled(apps, id=APP, tenant_id=TENANT)))
    old = [await add_run(database) for _ in range(2)]
    young = [await add_run(database, at=utc_now() - timedelta(minutes=minute)) for minute in range(3)]
    rule = Retention(before=MONTH_AGO, keep=1, batch=1)
    counted = await clean_old_runs(database, rule, dry_run=True)
    assert counted["workflow_runs"] == len(old) + 2
    assert await clean_old_runs(database, rule) == counted
    assert await run_ids(database) == {young[0]}


async def test_all_that_hangs_on_a_run_goes_with_it(database: Database) -> None:
    run_id, kept = await add_run(database), await add_run(database, status="paused")
    for each in (run_id, kept):
        rows: list[tuple[sa.Table, dict[str, Any]]] = [
            (human_input_forms, {"workflow_run_id": each}),
            (tables.workflow_pauses, {"id": each, "workflow_run_id": each}),
            (tables.workflow_pause_reasons, {"pause_id": each}),
            (tables.workflow_trigger_logs, {"workflow_run_id": each, "status": "succeeded", "created_at": OLD}),
            (tables.workflow_payloads, {"owner_id": each}),
            *((tables.workflow_run_events, {"run_id": each, "seq": seq}) for seq in range(1, 451)),
        ]
        async with database.write() as conn:
            for table, values in rows:
                ids = {"id": new_id()} if "id" in table.c else {}
                await conn.execute(table.insert().values(filled(table, **{**ids, **values})))
    gone = await clean_old_runs(database, Retention(before=MONTH_AGO))
    assert gone == {
        "workflow_runs": 1,
        "workflow_node_executions": 1,
        "workflow_app_logs": 1,
        "human_input_forms": 1,
        "workflow_pauses": 1,
        "workflow_pause_reasons": 1,
        "workflow_trigger_logs": 1,
        "workflow_payloads": 1,
        "workflow_run_events": 450,
    }
    assert await left(database, *(metadata.tables[name] for name in gone)) == list(gone.values())


async def test_logs_that_only_a_message_tells_of_go_by_age_and_the_message_stays(database: Database) -> None:
    ended, under_way, young = [await add_message(database, APP) for _ in range(3)]
    ends = ((ended, "run_finished", OLD), (under_way, "node_finished", OLD), (young, "run_finished", utc_now()))
    async with database.write() as conn:
        for run_id, kind, at in ends:
            values = {"run_id": run_id, "seq": 7, "type": kind, "payload": "[]", "created_at": at}
            await conn.execute(tables.workflow_run_events.insert().values(values))
            await conn.execute(tables.workflow_payloads.insert().values(owner_id=run_id, object_key="payloads/x"))
    gone = await clean_old_runs(database, Retention(before=MONTH_AGO))
    assert gone == {"workflow_run_events": 1, "workflow_payloads": 1}
    assert await left(database, tables.messages) == [3]
    async with database.read() as conn:
        found = set((await conn.execute(sa.select(tables.workflow_run_events.c.run_id))).scalars())
    assert found == {under_way, young}


async def test_nodes_that_were_tried_alone_and_triggers_that_started_nothing_go_by_age(database: Database) -> None:
    nodes, logs = tables.workflow_node_executions, tables.workflow_trigger_logs
    kept = set()
    async with database.write() as conn:
        for at in (OLD, utc_now()):
            row = filled(nodes, id=new_id(), tenant_id=TENANT, app_id=APP, created_at=at)
            await conn.execute(nodes.insert().values(row))
            await conn.execute(tables.workflow_payloads.insert().values(owner_id=row["id"], object_key="payloads/x"))
        for at, status in ((OLD, "skipped"), (OLD, "failed"), (OLD, "queued"), (utc_now(), "skipped")):
            row = filled(logs, id=new_id(), tenant_id=TENANT, app_id=APP, created_at=at, status=status)
            await conn.execute(logs.insert().values(row))
            if at is not OLD or status == "queued":
                kept.add(row["id"])
    gone = await clean_old_runs(database, Retention(before=MONTH_AGO))
    assert gone == {"workflow_node_executions": 1, "workflow_payloads": 1, "workflow_trigger_logs": 2}
    async with database.read() as conn:
        assert set((await conn.execute(sa.select(logs.c.id))).scalars()) == kept


async def test_it_waits_for_no_lock_and_leaves_what_somebody_holds(database: Database) -> None:
    if database.dialect == "sqlite":
        pytest.skip("SQLite has one lock for all")
    held, live = await add_run(database), await add_run(database, status="running")
    async with database.write() as conn:
        for run_id in (held, live):
            mine = tables.workflow_runs.c.id == run_id
            await conn.execute(tables.workflow_runs.update().where(mine).values(total_steps=2))
        for table, column in (
            (tables.workflow_node_executions, "workflow_run_id"),
            (tables.workflow_run_events, "run_id"),
        ):
            ids = {"id": new_id()} if "id" in table.c else {}
            await conn.execute(table.insert().values(filled(table, **{**ids, column: live, "tenant_id": TENANT})))
        old = [await add_run(database) for _ in range(3)]
        gone = await asyncio.wait_for(clean_old_runs(database, Retention(before=MONTH_AGO)), 5)
    assert gone["workflow_runs"] == len(old)
    assert await run_ids(database) == {held, live}
    assert (await clean_old_runs(database, Retention(before=MONTH_AGO)))["workflow_runs"] == 1


async def test_a_deleted_app_leaves_nothing_and_takes_nothing_of_others(database: Database) -> None:
    other = new_id()
    for app in (APP, other):
        await add_run(database, app=app, status="running")
        message_id, step_id = await add_message(database, app), new_id()
        step = filled(tables.workflow_node_executions, id=step_id, tenant_id=TENANT, app_id=app)
        log = filled(tables.workflow_run_events, run_id=message_id, seq=1)
        async with database.write() as conn:
            await conn.execute(tables.workflow_node_executions.insert().values(step))
            await conn.execute(tables.workflow_run_events.insert().values(log))
            for owner in (message_id, step_id):
                await conn.execute(tables.workflow_payloads.insert().values(owner_id=owner, object_key="payloads/x"))
    assert await delete_app_rows(database, Tenant(TENANT), APP) == 2
    assert await delete_app_rows(database, Tenant(TENANT), APP) == 0
    assert await left(database, tables.workflow_node_executions, tables.workflow_payloads) == [2, 2]
    every = (
        tables.workflow_runs,
        tables.workflow_run_events,
        tables.conversations,
        tables.messages,
        tables.message_feedbacks,
        tables.message_files,
    )
    assert await left(database, *every) == [1] * 6


async def test_runs_of_another_workspace_are_out_of_reach(database: Database) -> None:
    await add_run(database)
    assert await delete_app_rows(database, Tenant(new_id()), APP) == 0
    assert await left(database, tables.workflow_runs) == [1]


async def test_cached_vectors_are_forgotten_by_age(database: Database) -> None:
    async with database.write() as conn:
        for number, at in enumerate((OLD, OLD, utc_now())):
            row = filled(embeddings, id=new_id(), hash=str(number), embedding=b"1234", created_at=at)
            await conn.execute(embeddings.insert().values(row))
    before = utc_now() - timedelta(days=30)
    assert await forget_embeddings(database, before=before) == 2
    assert await forget_embeddings(database, before=before) == 0
    assert await left(database, embeddings) == [1]
