"""Old runs go, with all that hangs on them; what is young, running, or another app's stays."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from dify_host.db.engine import Database
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id, utc_now
from dify_host.knowledge.cached_vectors import forget_embeddings
from dify_host.knowledge.tables import embeddings
from dify_host.runs import tables
from dify_host.runs.retention import delete_app_rows, delete_old_runs

TENANT, APP = new_id(), new_id()
OLD = utc_now() - timedelta(days=40)


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


async def add_message(db: Database, app: str) -> None:
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


async def left(db: Database, *of: sa.Table) -> list[int]:
    async with db.read() as conn:
        return [(await conn.execute(sa.select(sa.func.count()).select_from(table))).scalar_one() for table in of]


async def test_only_old_runs_that_ended_go(database: Database) -> None:
    old = [await add_run(database) for _ in range(3)]
    kept = {await add_run(database, at=utc_now()), await add_run(database, status="running")}
    before = utc_now() - timedelta(days=30)
    assert await delete_old_runs(database, before=before, limit=2) == 2
    assert await delete_old_runs(database, before=before, limit=2) == 1
    assert await delete_old_runs(database, before=before, limit=2) == 0
    async with database.read() as conn:
        found = set((await conn.execute(sa.select(tables.workflow_runs.c.id))).scalars())
    assert found == kept
    assert not found & set(old)
    assert await left(database, tables.workflow_node_executions, tables.workflow_app_logs) == [2, 2]


async def test_a_deleted_app_leaves_nothing_and_takes_nothing_of_others(database: Database) -> None:
    other = new_id()
    for app in (APP, other):
        await add_run(database, app=app, status="running")
        await add_message(database, app)
    assert await delete_app_rows(database, Tenant(TENANT), APP) == 2
    assert await delete_app_rows(database, Tenant(TENANT), APP) == 0
    every = (
        tables.workflow_runs,
        tables.workflow_node_executions,
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
