"""While thousands of old runs are deleted, a run that is under way neither waits long nor loses an event."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from dify_host.db.engine import Database
from dify_host.db.statements import insert_many
from dify_host.db.types import new_id
from dify_host.db.writer import BatchWriter
from dify_host.runs import tables
from dify_host.runs.event_log import SqlRunLog, SqlRunLogStore
from dify_host.runs.retention import Retention, clean_old_runs
from dify_kernel.graph.events import NodeStarted, RunFinished

from .test_retention import MONTH_AGO, OLD, TENANT, filled, run_ids

OLD_RUNS = 1000
#: Seconds that one flush of the live run may take. A lock that is held through the whole deletion takes longer.
MOST = 1.0
pytestmark = pytest.mark.timeout(180)


@pytest.fixture
async def crowded(database: Database) -> Database:
    """A database with many old runs, each with nodes and a log."""
    ids = [new_id() for _ in range(OLD_RUNS)]
    at = [OLD + timedelta(seconds=number) for number in range(OLD_RUNS)]
    runs, nodes, events = tables.workflow_runs, tables.workflow_node_executions, tables.workflow_run_events
    of_run: list[dict[str, Any]] = []
    of_node: list[dict[str, Any]] = []
    of_log: list[dict[str, Any]] = []
    for run_id, began in zip(ids, at, strict=True):
        mine = {"tenant_id": TENANT, "created_at": began}
        of_run.append(filled(runs, id=run_id, status="succeeded", **mine))
        of_node += [filled(nodes, id=new_id(), workflow_run_id=run_id, outputs={"t": "x" * 500}, **mine) for _ in "123"]
        of_log += [filled(events, run_id=run_id, seq=seq, payload="x" * 900, created_at=began) for seq in (3, 5, 8)]
    async with database.write() as conn:
        for table, rows in ((runs, of_run), (nodes, of_node), (events, of_log)):
            await insert_many(conn, table, rows)
    return database


@pytest.fixture
async def store(crowded: Database) -> AsyncIterator[SqlRunLogStore]:
    """The logs of the process that has the live run."""
    writer = BatchWriter(crowded)
    writer.start()
    store = SqlRunLogStore(crowded, writer)
    yield store
    await store.close()
    await writer.close()


async def go_on(log: SqlRunLog, run_id: str, over: asyncio.Event) -> list[float]:
    """Append to a run, with a row beside each event, until it is over; the seconds that each flush took."""
    took: list[float] = []
    while not over.is_set():
        seq = len(took) + 1
        log.append(NodeStarted(seq=seq, execution_id="e", node_id="n", node_type="code"))
        nodes = tables.workflow_node_executions
        log.group.insert(nodes, filled(nodes, id=new_id(), tenant_id=TENANT, workflow_run_id=run_id))
        began = time.monotonic()
        await log.flush()
        took.append(time.monotonic() - began)
    log.append(RunFinished(seq=len(took) + 1, status="succeeded"))
    await log.flush()
    return took


async def test_a_live_run_goes_on_while_old_ones_leave(
    crowded: Database, store: SqlRunLogStore, database_url: str
) -> None:
    run_id, over = new_id(), asyncio.Event()
    async with crowded.write() as conn:
        live = filled(tables.workflow_runs, id=run_id, tenant_id=TENANT, status="running", created_at=OLD)
        await conn.execute(tables.workflow_runs.insert().values(live))
    writing = asyncio.create_task(go_on(store.create(run_id, "me"), run_id, over))
    cleaner = Database(database_url)  # another process has its own connections, and no turn to take with the run's
    gone = await clean_old_runs(cleaner, Retention(before=MONTH_AGO))
    await cleaner.close()
    over.set()
    took = await writing
    assert gone["workflow_runs"] == OLD_RUNS
    assert await run_ids(crowded) == {run_id}
    assert [event.seq for event in await store.load(run_id)] == list(range(1, len(took) + 2))
    async with crowded.read() as conn:
        rows = (await conn.execute(sa.select(sa.func.count()).select_from(tables.workflow_node_executions))).scalar()
    assert rows == len(took)
    assert len(took) > 20  # it got its turn again and again
    assert max(took) < MOST
