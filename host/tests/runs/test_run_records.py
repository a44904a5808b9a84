"""Lists of runs on every engine: in pages without gaps or repeats, counted by status, and nobody else's."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from dify_host.db.engine import Database
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id, utc_now
from dify_host.runs.payloads import Payloads
from dify_host.runs.run_records import RunFilter, RunRecords
from dify_host.runs.tables import messages, workflow_runs
from dify_kernel.contracts.storage import Storage
from dify_kernel.errors import BadInput, NotFound


def run_row(tenant: Tenant, app_id: str, **values: Any) -> dict[str, Any]:
    given = {
        "id": new_id(), "tenant_id": tenant.id, "app_id": app_id, "workflow_id": new_id(), "type": "workflow",
        "triggered_from": "debugging", "version": "draft", "graph": {"nodes": []}, "inputs": {}, "status": "succeeded",
        "created_by_role": "account", "created_by": new_id(), "created_at": utc_now(),
    }  # fmt: skip
    return {**given, **values}


async def add(database: Database, *rows: dict[str, Any]) -> None:
    async with database.write() as conn:
        for row in rows:
            await conn.execute(workflow_runs.insert().values(row))


async def test_pages_have_every_run_once_also_those_of_the_same_moment(database: Database, storage: Storage) -> None:
    tenant, app_id, now = Tenant(new_id()), new_id(), utc_now()
    rows = [run_row(tenant, app_id, created_at=now - timedelta(seconds=at // 3)) for at in range(8)]
    await add(database, *rows, run_row(tenant, app_id, triggered_from="app-run"), run_row(tenant, new_id()))
    records = RunRecords(database, tenant, Payloads(storage))
    seen: list[str] = []
    last = None
    while True:
        page = await records.page(app_id, RunFilter(), last_id=last, limit=3, chat=False)
        seen += [item["id"] for item in page.data]
        last = seen[-1]
        if not page.has_more:
            break
    ordered = sorted(rows, key=lambda row: (row["created_at"], row["id"]), reverse=True)
    assert seen == [row["id"] for row in ordered]
    with pytest.raises(NotFound):
        await records.page(app_id, RunFilter(), last_id=new_id(), limit=3, chat=False)


async def test_counts_by_status_and_age(database: Database, storage: Storage) -> None:
    tenant, app_id = Tenant(new_id()), new_id()
    old = utc_now() - timedelta(days=3)
    await add(
        database,
        run_row(tenant, app_id),
        run_row(tenant, app_id, status="failed", created_at=old),
        run_row(tenant, app_id, status="partial-succeeded"),
        run_row(tenant, app_id, status="paused"),
    )
    records = RunRecords(database, tenant, Payloads(storage))
    counts = await records.count(app_id, RunFilter())
    assert counts == {"total": 4, "running": 0, "succeeded": 1, "failed": 1, "stopped": 0, "partial_succeeded": 1}
    assert (await records.count(app_id, RunFilter(time_range="1d")))["failed"] == 0
    assert (await records.count(app_id, RunFilter(time_range="4d")))["failed"] == 1
    for text in ("", "7", "d", "-1d", "1w", "999999d"):
        if text:
            with pytest.raises(BadInput):
                await records.count(app_id, RunFilter(time_range=text))


async def test_a_chat_run_names_its_message(database: Database, storage: Storage) -> None:
    tenant, app_id = Tenant(new_id()), new_id()
    row = run_row(tenant, app_id, type="chat")
    await add(database, row)
    message = {
        "id": new_id(), "app_id": app_id, "conversation_id": new_id(), "query": "q", "answer": "a",
        "from_source": "console", "workflow_run_id": row["id"],
    }  # fmt: skip
    async with database.write() as conn:
        await conn.execute(messages.insert().values(message))
    (item,) = (
        await RunRecords(database, tenant, Payloads(storage)).page(
            app_id, RunFilter(), last_id=None, limit=9, chat=True
        )
    ).data
    assert (item["message_id"], item["conversation_id"]) == (message["id"], message["conversation_id"])


async def test_runs_of_another_workspace_are_as_if_they_were_not(database: Database, storage: Storage) -> None:
    tenant, app_id = Tenant(new_id()), new_id()
    row = run_row(tenant, app_id)
    await add(database, row)
    records = RunRecords(database, Tenant(new_id()), Payloads(storage))
    assert (await records.page(app_id, RunFilter(), last_id=None, limit=9, chat=True)).data == []
    assert (await records.count(app_id, RunFilter()))["total"] == 0
    for call in (records.detail(app_id, row["id"]), records.app_of(row["id"])):
        with pytest.raises(NotFound):
            await call
    assert await RunRecords(database, tenant, Payloads(storage)).app_of(row["id"]) == app_id
