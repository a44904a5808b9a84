"""Large values of runs are in the storage, once; runs go on with them, and say so when one is lost. On each engine."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis.asyncio as redis
import sqlalchemy as sa
from dify_host.db.engine import Database
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id, utc_now
from dify_host.db.writer import BatchWriter
from dify_host.runs import tables
from dify_host.runs.follower import RunFollower
from dify_host.runs.large_values import PayloadLost
from dify_host.runs.node_records import NodeRecords
from dify_host.runs.payload_sweep import sweep_payloads
from dify_host.runs.payloads import PayloadNotKept, Payloads
from dify_host.runs.retention import Retention, clean_old_runs
from dify_host.runs.run_history import RunHistory
from dify_host.runs.run_records import RunRecords
from dify_host.runs.service import StartedRun
from dify_kernel.contracts.node import RunInfo
from dify_kernel.contracts.storage import Storage
from dify_kernel.graph.events import Event, NodeFinished, RunFinished, RunResumed, StreamChunk

from .payload_house import LIMIT, TEXT, OddStorage, asking, handed_on, known_program
from .run_house import MODEL, GatedModels, RunHouse, edge, node

ROOT = Path(__file__).parents[3]
LATER = timedelta(days=3)


@pytest.fixture
def odd(storage: Storage) -> OddStorage:
    """A folder whose storage misbehaves when it is told to."""
    return OddStorage(storage)


@pytest.fixture
async def house(database: Database, writer: BatchWriter, odd: OddStorage) -> AsyncIterator[RunHouse]:
    """A house on each engine whose large values are in a folder."""
    house = RunHouse(database, writer, payloads=Payloads(odd, limit=LIMIT, pauses=(0.01, 0.01)))
    house.models = GatedModels(lambda _: TEXT)
    yield house
    await house.close()


@pytest.fixture
async def other(house: RunHouse, storage: Storage) -> AsyncIterator[RunHouse]:
    """Another process, with a way of its own to the same folder."""
    other = house.neighbour("there", payloads=Payloads(storage, limit=LIMIT))
    other.models = GatedModels(lambda _: TEXT)
    yield other
    await other.close()


@pytest.fixture
async def bus(redis_url: str) -> AsyncIterator[redis.Redis]:
    bus = redis.Redis.from_url(redis_url)
    yield bus
    await bus.aclose()


async def lapse(db: Database) -> None:
    async with db.write() as conn:
        await conn.execute(tables.workflow_run_leases.update().values(expires_at=utc_now() - timedelta(days=1)))


async def objects(storage: Storage) -> set[str]:
    return {entry.key async for entry in storage.scan("payloads/")}


async def stored_bytes(house: RunHouse) -> int:
    """Bytes of the columns that may hold what runs take and give."""
    columns = [tables.workflow_run_events.c.payload]
    for table in (tables.workflow_runs, tables.workflow_node_executions):
        columns += [table.c[name] for name in ("inputs", "process_data", "outputs") if name in table.c]
    total = 0
    async with house.db.read() as conn:
        for column in columns:
            size = sa.func.coalesce(sa.func.sum(sa.func.length(sa.cast(column, sa.Text))), 0)
            total += int((await conn.execute(sa.select(size))).scalar_one())
    return total


def plain(events: list[Any]) -> list[Any]:
    return [msgspec.json.decode(msgspec.json.encode(event)) for event in events]


async def a_run(house: RunHouse, count: int = 20) -> tuple[StartedRun, list[Event]]:
    app = await house.app()
    started, events = await house.run(house.workflow(handed_on(count)), app, inputs={"text": TEXT})
    return started, [event for event in events if not isinstance(event, StreamChunk)]


# -- round trip ---------------------------------------------------------------------------------------------------


async def test_what_many_nodes_hand_on_is_kept_once_and_read_as_it_was(house: RunHouse, odd: OddStorage) -> None:
    started, events = await a_run(house)
    run_id, app_id = started.handle.run.run_id, started.handle.run.app_id
    assert len(odd.saved) == len(await objects(odd)) == 1
    assert await stored_bytes(house) < len(TEXT)
    assert plain(await house.store.load(run_id)) == plain(events)
    payloads = house.payloads
    assert payloads is not None
    for item in await NodeRecords(house.db, house.tenant, payloads).of_run(app_id, run_id):
        assert TEXT in item["outputs"].values()
        assert TEXT in item["inputs"].values()
    run = await RunRecords(house.db, house.tenant, payloads).detail(app_id, run_id)
    assert (run["inputs"]["text"], run["outputs"]) == (TEXT, {"text": TEXT})
    shown = await RunHistory(house.db, house.tenant, payloads).get(app_id, run_id)
    assert msgspec.json.decode(shown.outputs or "") == {"text": TEXT}
    assert msgspec.json.decode(shown.inputs or "")["text"] == TEXT
    hollow = await house.store.load(run_id, payloads=False)
    assert [event.seq for event in hollow] == [event.seq for event in events]
    assert TEXT not in str(plain(hollow))


async def test_a_follower_of_another_process_sees_it_whole(house: RunHouse, other: RunHouse, bus: redis.Redis) -> None:
    started, events = await a_run(house, 2)
    follower = RunFollower(bus, other.store)
    seen = [event async for batch in follower.follow(started.handle.run.run_id) for event in batch]
    assert plain(seen) == plain(events)


async def test_without_a_limit_all_stays_in_the_database(
    database: Database, writer: BatchWriter, storage: Storage
) -> None:
    house = RunHouse(database, writer, payloads=Payloads(storage, limit=0))
    started, events = await a_run(house, 2)
    assert plain(await house.store.load(started.handle.run.run_id)) == plain(events)
    assert await objects(storage) == set()
    await house.close()


async def test_another_run_of_the_day_keeps_nothing_new(house: RunHouse, other: RunHouse, odd: OddStorage) -> None:
    await a_run(house, 2)
    await a_run(house, 3)
    await a_run(other, 1)
    assert len(odd.saved) == 1
    assert len(await objects(odd)) == 1
    assert len(await house.rows(tables.workflow_payloads)) == 3


async def test_a_node_that_is_tried_alone_keeps_it_too(house: RunHouse, storage: Storage) -> None:
    run = RunInfo(run_id=new_id(), tenant_id=house.tenant.id, app_id=new_id(), workflow_id=new_id())
    values: dict[str, Any] = {"inputs": {"a": TEXT}, "outputs": {"b": [TEXT, 1]}, "started_at": 1.0}
    event = NodeFinished(seq=1, execution_id=new_id(), node_id="n", node_type="code", **values)
    records = NodeRecords(house.db, house.tenant, Payloads(storage, limit=LIMIT))
    await records.add(run, house.creator, [event])
    assert await stored_bytes(house) < len(TEXT)
    last = await records.last(run.app_id, run.workflow_id, "n")
    assert (last["inputs"], last["outputs"]) == ({"a": TEXT}, {"b": [TEXT, 1]})
    assert await records.output(run.app_id, event.execution_id, "b") == (True, [TEXT, 1])
    (kept,) = await objects(storage)
    assert [row.object_key for row in await house.rows(tables.workflow_payloads)] == [kept]


# -- order and failure ----------------------------------------------------------------------------------------------


def ended(seq: int, text: str = "") -> NodeFinished:
    return NodeFinished(seq=seq, execution_id=f"e{seq}", node_id=f"n{seq}", node_type="code", outputs={"t": text})


async def test_small_events_wait_for_the_large_ones_before_them(house: RunHouse, odd: OddStorage) -> None:
    log = house.store.create(run_id := new_id(), "here", tenant_id=house.tenant.id)
    odd.gate.clear()
    log.append(ended(1, TEXT))
    first = log.push()
    log.append(ended(2))
    second = log.push()
    after = house.store.create(other_id := new_id(), "here", tenant_id=house.tenant.id)
    after.append(ended(1))
    await after.flush()
    assert len(await house.store.load(other_id)) == 1  # other runs do not wait
    assert first is not None
    assert second is not None
    assert not first.done()
    assert not second.done()
    assert await house.store.load(run_id) == []
    odd.gate.set()
    await log.flush()
    assert [event.seq for event in await house.store.load(run_id)] == [1, 2]
    log.append(RunFinished(seq=3, status="succeeded"))
    await log.flush()
    assert (await house.row(tables.workflow_run_leases)).run_id == other_id


async def test_a_storage_that_is_away_for_a_moment_is_waited_for(house: RunHouse, odd: OddStorage) -> None:
    odd.failures = 2
    started, events = await a_run(house, 3)
    assert (await started.handle.wait()).status == "succeeded"
    assert plain(await house.store.load(started.handle.run.run_id)) == plain(events)


async def test_when_it_stays_away_another_process_goes_on_and_nothing_is_lost(
    house: RunHouse, other: RunHouse, odd: OddStorage, bus: redis.Redis
) -> None:
    program, app = house.workflow(asking(3)), await house.app()
    house.models.gate.clear()
    odd.failures = 1000
    started = await house.start(program, app)
    run_id = started.handle.run.run_id
    while not await house.store.load(run_id):
        await asyncio.sleep(0.01)
    house.models.gate.set()
    with pytest.raises(PayloadNotKept, match=run_id) as caught:
        await started.handle.wait()
    assert caught.value.retryable
    await house.until(lambda: house.service.find(run_id) is None)
    # It is given back at once, not when its time is over.
    while (await house.row(tables.workflow_run_leases)).expires_at > utc_now():
        await asyncio.sleep(0.01)
    assert all(not isinstance(event, RunFinished) for event in await house.store.load(run_id))
    assert await other.recovery(bus).sweep() == 1
    ended_here = await RunFollower(bus, other.store).wait(run_id)
    assert (ended_here.outputs, getattr(ended_here, "status", "")) == ({"text": TEXT}, "succeeded")
    log = await other.store.load(run_id)
    assert [event.seq for event in log] == list(range(1, len(log) + 1))


async def test_after_a_value_that_was_not_kept_nothing_follows(house: RunHouse, odd: OddStorage) -> None:
    log = house.store.create(run_id := new_id(), "here", tenant_id=house.tenant.id)
    log.append(ended(1))
    await log.flush()
    odd.failures = 1000
    log.append(ended(2, TEXT))
    log.push()
    log.append(ended(3))
    with pytest.raises(PayloadNotKept):
        await log.flush()
    odd.failures = 0
    log.append(ended(4))
    with pytest.raises(PayloadNotKept):
        await log.flush()
    log.release()
    taken = None
    while taken is None:
        await asyncio.sleep(0.01)
        lease = await house.row(tables.workflow_run_leases)
        taken = lease if lease.expires_at <= utc_now() else None
    assert [event.seq for event in await house.store.load(run_id)] == [1]


@pytest.mark.timeout(120)
async def test_a_process_that_is_killed_between_value_and_row_loses_nothing(
    house: RunHouse, odd: OddStorage, database_url: str, tmp_path: Path, bus: redis.Redis
) -> None:
    plan = {"url": database_url, "folder": str(tmp_path), "tenant": house.tenant.id}
    plan |= {name: new_id() for name in ("app", "workflow", "run")}
    command = (sys.executable, "-m", __package__ + ".payload_house", msgspec.json.encode(plan).decode())
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT)
    assert await process.wait() == -signal.SIGKILL
    assert len(await objects(odd)) == 1
    assert await house.rows(tables.workflow_payloads) == []
    known_program(house, plan["workflow"])
    await lapse(house.db)
    assert await house.recovery(bus).sweep() == 1
    assert (await RunFollower(bus, house.store).wait(plan["run"])).outputs == {"text": TEXT}
    log = await house.store.load(plan["run"])
    assert [event.seq for event in log] == list(range(1, len(log) + 1))
    assert len([event for event in log if isinstance(event, RunResumed)]) == 1
    assert len(await objects(odd)) == 1


async def test_a_run_is_taken_up_with_what_it_has_in_the_storage(
    house: RunHouse, other: RunHouse, bus: redis.Redis
) -> None:
    def reply(question: str) -> str:
        if question == "again":
            house.models.gate.clear()
        return TEXT

    house.models = GatedModels(reply)
    graph = asking(2)
    ask = node("again", "llm", model=MODEL, prompt_template=[{"role": "user", "text": "again"}])
    graph["nodes"].insert(-1, ask)
    graph["edges"][-1:] = [edge("n1", "again"), edge("again", "end")]
    started = await house.start(house.workflow(graph), await house.app())
    run_id = started.handle.run.run_id
    async for batch in started.handle.follow():
        if any(isinstance(event, NodeFinished) and event.node_id == "n1" for event in batch):
            break
    await lapse(house.db)
    assert await other.recovery(bus).sweep() == 1
    assert (await RunFollower(bus, other.store).wait(run_id)).outputs == {"text": TEXT}
    assert [request.messages[0].content for request in other.models.requests] == ["again"]


# -- loss -------------------------------------------------------------------------------------------------------------


async def test_a_lost_value_is_told_with_its_run_and_node(house: RunHouse, odd: OddStorage) -> None:
    started, _ = await a_run(house, 2)
    run, (key,) = started.handle.run, await objects(odd)
    await odd.delete(key)
    assert house.payloads is not None
    with pytest.raises(PayloadLost, match=f"run {run.run_id}") as caught:
        await house.store.load(run.run_id)
    assert not caught.value.retryable
    with pytest.raises(PayloadLost, match=rf"run {run.run_id}, node \w+") as caught:
        await NodeRecords(house.db, house.tenant, house.payloads).of_run(run.app_id, run.run_id)
    assert caught.value.where["key"] == key
    await odd.save(key, b'"another text"')
    with pytest.raises(PayloadLost, match="not what was written"):
        await RunRecords(house.db, house.tenant, house.payloads).detail(run.app_id, run.run_id)


async def test_a_run_whose_value_is_lost_is_ended_with_the_reason(
    house: RunHouse, other: RunHouse, odd: OddStorage, bus: redis.Redis
) -> None:
    log = house.store.create(run_id := new_id(), "gone", tenant_id=house.tenant.id)
    started, _ = await a_run(house, 1)
    first = (await house.store.load(started.handle.run.run_id))[0]
    log.append(first)
    await log.flush()
    for key in await objects(odd):
        await odd.delete(key)
    await lapse(house.db)
    assert await other.recovery(bus).sweep() == 1
    (last,) = (await other.store.load(run_id, payloads=False))[-1:]
    assert isinstance(last, RunFinished)
    assert last.status == "failed"
    assert "not in the storage any more" in last.error


# -- what leaves ---------------------------------------------------------------------------------------------------


async def test_a_value_leaves_when_its_last_run_has_left(house: RunHouse, odd: OddStorage) -> None:
    await a_run(house, 1)
    boundary = utc_now()
    await a_run(house, 1)
    now = utc_now() + LATER
    await clean_old_runs(house.db, Retention(before=boundary))
    assert (await sweep_payloads(house.db, odd, now=now)).objects == 0
    await clean_old_runs(house.db, Retention(before=now))
    assert (await sweep_payloads(house.db, odd)).objects == 0  # of today: somebody may be about to refer to it
    assert (await sweep_payloads(house.db, odd, now=now, dry_run=True)).objects == 1
    swept = await sweep_payloads(house.db, odd, now=now)
    assert (swept.objects, swept.size, swept.kept) == (1, len(msgspec.json.encode(TEXT)), 0)
    assert await objects(odd) == set()
    assert await house.rows(tables.workflow_payloads) == []


async def test_a_run_that_writes_the_same_value_while_it_leaves_keeps_its_own(
    house: RunHouse, other: RunHouse, odd: OddStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Days later the value of the old run goes while another run is about to refer to the same content."""
    await a_run(house, 1)
    (old,) = await objects(odd)
    now = utc_now() + LATER
    await clean_old_runs(house.db, Retention(before=now))
    monkeypatch.setattr("dify_host.runs.event_log.utc_now", lambda: now)
    odd.gate.clear()
    started = await house.start(house.workflow(handed_on(1)), await house.app(), inputs={"text": TEXT})
    await house.until(lambda: len(odd.saved) == 2)  # it is there, and no row says so yet
    assert await house.rows(tables.workflow_payloads) == []
    await sweep_payloads(house.db, odd, now=now)
    odd.gate.set()
    assert (await started.handle.wait()).status == "succeeded"
    assert old not in await objects(odd)
    await sweep_payloads(house.db, odd, now=now)
    whole = await other.store.load(started.handle.run.run_id)
    assert isinstance(whole[-1], RunFinished)
    assert whole[-1].outputs == {"text": TEXT}


async def test_what_a_killed_process_left_is_swept(house: RunHouse, odd: OddStorage) -> None:
    assert house.payloads is not None
    row: dict[str, Any] = {"outputs": {"text": TEXT}}
    await house.payloads.take(house.tenant.id, row, ("outputs",), run_id="none")
    await odd.save("payloads/notes.txt", b"not ours")
    assert len(await objects(odd)) == 2
    swept = await sweep_payloads(house.db, odd, now=utc_now() + LATER)
    assert swept.objects == 1
    assert await objects(odd) == {"payloads/notes.txt"}


async def test_a_value_that_was_kept_too_late_is_not_referred_to(house: RunHouse, odd: OddStorage) -> None:
    assert house.payloads is not None
    old = "payloads/x/2020-01-01/" + "0" * 64
    with pytest.raises(PayloadNotKept, match="too late"):
        await house.payloads.keep({old: b"1"}, run_id="r")


async def test_workspaces_share_nothing(house: RunHouse, odd: OddStorage) -> None:
    await a_run(house, 1)
    house.tenant = Tenant(new_id())
    await a_run(house, 1)
    assert len(await objects(odd)) == 2
