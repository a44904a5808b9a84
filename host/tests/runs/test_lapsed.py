"""A run whose process is gone is ended by a sweep: once, through its log, with every row saying the same."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from dify_host.db.engine import Database
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id, utc_now
from dify_host.db.writer import BatchWriter
from dify_host.identity.accounts import insert_account
from dify_host.identity.workspaces import insert_workspace
from dify_host.jobs.actors import ACTORS
from dify_host.platform import Platform
from dify_host.runs.event_log import SqlRunLogStore
from dify_host.runs.lapsed import ENDED_WITHOUT_PROCESS, fail_lapsed_runs
from dify_host.runs.tables import (
    messages,
    workflow_app_logs,
    workflow_node_executions,
    workflow_run_leases,
    workflow_runs,
)
from dify_kernel.errors import LogError, RunFenced
from dify_kernel.graph.events import RunFinished
from dify_kernel.testing.openai_server import OpenAIServer

from .run_house import MODEL, RunHouse, chat_graph, graph, node

NOW = timedelta()
SCRIPT = Path(__file__).with_name("crash_serve.py")


async def lapse(db: Database) -> None:
    """Let every lease be over, as if nobody had renewed it for a day."""
    async with db.write() as conn:
        await conn.execute(workflow_run_leases.update().values(expires_at=utc_now() - timedelta(days=1)))


@pytest.fixture
async def house(database: Database, writer: BatchWriter) -> AsyncIterator[RunHouse]:
    """A house on each engine."""
    house = RunHouse(database, writer)
    yield house
    await house.close()


async def abandoned(house: RunHouse, *, basic: bool = False) -> str:
    """A run that is written down as running, and whose process says nothing any more."""
    house.models.gate.clear()
    program = house.basic("chat") if basic else house.workflow(chat_graph())
    started = await house.start(program, await house.app("chat" if basic else "advanced-chat"), query="REPLY:long text")
    while not await house.rows(workflow_run_leases, workflow_run_leases.c.run_id == started.handle.run.run_id):
        await asyncio.sleep(0.005)
    await lapse(house.db)
    return started.handle.run.run_id


async def test_a_lapsed_run_is_failed(house: RunHouse) -> None:
    run_id = await abandoned(house)
    assert await fail_lapsed_runs(house.db, house.store, owner="sweeper", grace=NOW) == 1
    events = await house.store.load(run_id)
    end = events[-1]
    assert isinstance(end, RunFinished)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    run, message = await house.row(workflow_runs), await house.row(messages)
    assert (run.status, run.error) == (end.status, end.error) == ("failed", ENDED_WITHOUT_PROCESS)
    assert (run.total_steps, run.finished_at >= run.created_at) == (2, True)
    assert (message.status, message.error, message.answer) == ("error", ENDED_WITHOUT_PROCESS, "")
    nodes = {row.node_id: (row.status, row.error) for row in await house.rows(workflow_node_executions)}
    assert nodes == {"start": ("succeeded", None), "llm": ("failed", ENDED_WITHOUT_PROCESS)}
    assert len(await house.rows(workflow_app_logs)) == 1
    assert await house.rows(workflow_run_leases) == []
    assert await fail_lapsed_runs(house.db, house.store, owner="sweeper", grace=NOW) == 0
    house.models.gate.set()  # the process was only slow: it may not change the end any more
    with pytest.raises(RunFenced):
        await house.service.get(run_id).wait()
    assert (await house.row(workflow_runs)).status == "failed"
    assert len(await house.store.load(run_id)) == len(events)
    with pytest.raises(LogError):
        (await house.store.open(run_id, "late")).append(RunFinished(seq=len(events) + 1, status="succeeded"))


async def test_the_message_of_a_basic_app_is_failed(house: RunHouse) -> None:
    run_id = await abandoned(house, basic=True)
    assert await fail_lapsed_runs(house.db, house.store, owner="sweeper", grace=NOW) == 1
    message = await house.row(messages)
    assert (message.id, message.status, message.error) == (run_id, "error", ENDED_WITHOUT_PROCESS)
    assert await house.rows(workflow_runs) == []


async def test_runs_that_go_on_are_left_alone(house: RunHouse) -> None:
    lapsed = await abandoned(house)
    program = house.workflow(graph(node("start", "start", variables=[]), *chat_graph()["nodes"][1:]))
    live = await house.start(program, await house.app("advanced-chat"), query="hi")
    while not await house.rows(workflow_run_leases, workflow_run_leases.c.run_id == live.handle.run.run_id):
        await asyncio.sleep(0.005)
    assert await fail_lapsed_runs(house.db, house.store, owner="sweeper", grace=timedelta(days=2)) == 0
    assert await fail_lapsed_runs(house.db, house.store, owner="sweeper", grace=NOW) == 1
    house.models.gate.set()
    assert (await live.handle.wait()).status == "succeeded"
    statuses = {row.id: row.status for row in await house.rows(workflow_runs)}
    assert statuses == {lapsed: "failed", live.handle.run.run_id: "succeeded"}


async def test_two_sweepers_end_each_run_once(house: RunHouse) -> None:
    run_ids = [await abandoned(house) for _ in range(4)]
    writer = BatchWriter(house.db)
    writer.start()
    second = SqlRunLogStore(house.db, writer)
    counts = await asyncio.gather(
        fail_lapsed_runs(house.db, house.store, owner="one", grace=NOW),
        fail_lapsed_runs(house.db, second, owner="two", grace=NOW),
    )
    assert sum(counts) == len(run_ids)
    for run_id in run_ids:
        events = await house.store.load(run_id)
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert [isinstance(event, RunFinished) for event in events] == [False] * (len(events) - 1) + [True]
    rows = await house.rows(workflow_node_executions, workflow_node_executions.c.node_id == "llm")
    assert [row.status for row in rows] == ["failed"] * len(run_ids)
    await second.close()
    await writer.close()


async def test_a_lease_of_which_nothing_else_is_left(house: RunHouse) -> None:
    row = {"run_id": new_id(), "owner": "gone", "token": 1, "expires_at": utc_now() - timedelta(days=1)}
    async with house.db.write() as conn:
        await conn.execute(workflow_run_leases.insert().values(row))
    await fail_lapsed_runs(house.db, house.store, owner="sweeper", grace=NOW)
    assert await house.rows(workflow_run_leases) == []


# -- a process that is killed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["workflow", "advanced-chat", "chat"])
async def test_a_killed_process_leaves_a_run_that_is_ended(
    platform: Platform, env: dict[str, str], openai: OpenAIServer, mode: str
) -> None:
    plan = {**await workspace(platform, openai), "env": env, "mode": mode, "model": MODEL}
    plan["graph"] = chat_graph() if mode == "advanced-chat" else chat_graph("DELAY:20 TOKENS:100000")
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(SCRIPT), msgspec.json.encode(plan).decode(), stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    run_id = (await child.stdout.readline()).decode().strip()
    child.kill()
    await child.wait()
    events = await platform.run_logs.load(run_id)
    assert events
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert not isinstance(events[-1], RunFinished)
    assert await statuses(platform.db) == ({} if mode == "chat" else {run_id: "running"})
    with pytest.raises(RunFenced):  # nobody knows yet that its process is gone
        await platform.run_logs.open(run_id, "another")
    sweep = ACTORS["fail_lapsed_runs"].run
    await sweep(platform)
    assert len(await platform.run_logs.load(run_id)) == len(events)
    await lapse(platform.db)
    await sweep(platform)
    assert await statuses(platform.db) == ({} if mode == "chat" else {run_id: "failed"})
    async with platform.db.read() as conn:
        said = (await conn.execute(sa.select(messages.c.status, messages.c.error))).all()
    assert [tuple(row) for row in said] == ([] if mode == "workflow" else [("error", ENDED_WITHOUT_PROCESS)])


async def workspace(platform: Platform, openai: OpenAIServer) -> dict[str, Any]:
    async with platform.db.write() as conn:
        owner = await insert_account(conn, email=f"{new_id()}@example.com", name="Owner", password=None)
        tenant_id = await insert_workspace(conn, platform.keyring, name="House", owner_id=owner)
    credentials = {"openai_api_key": "a-key-of-this-test", "openai_api_base": openai.url}
    await (await platform.workspace(Tenant(tenant_id))).providers.add("openai", credentials)
    return {"tenant": tenant_id, "app": new_id()}


async def statuses(db: Database) -> dict[str, str]:
    async with db.read() as conn:
        rows = (await conn.execute(sa.select(workflow_runs.c.id, workflow_runs.c.status))).all()
    return {row.id: row.status for row in rows}
