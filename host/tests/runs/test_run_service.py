"""Runs of one process: who follows them, how many there may be, who stops them, and how they end."""

from __future__ import annotations

import asyncio
import itertools

import pytest
import sqlalchemy as sa
from dify_host.db.errors import DatabaseError
from dify_host.db.types import new_id
from dify_host.db.writer import Group
from dify_host.runs.service import StartedRun
from dify_host.runs.tables import workflow_node_executions, workflow_run_leases, workflow_runs
from dify_kernel.errors import DifyError, NotFound, RunFenced
from dify_kernel.graph.engine import RunLimits
from dify_kernel.graph.events import Event, NodeFinished, RunFinished, RunStarted, StreamChunk

from .run_house import RunHouse, chat_graph, graph, node

ALIKE = graph(node("start", "start", variables=[]), node("end", "end", outputs=[]))
NAMED = graph(
    node("start", "start", variables=[{"type": "text-input", "variable": "n", "label": "N", "required": True}]),
    node("end", "end", outputs=[]),
)


async def all_of(started: StartedRun) -> list[Event]:
    return [event async for batch in started.handle.follow() for event in batch]


async def held(house: RunHouse, query: str = "REPLY:first and second") -> StartedRun:
    """A chat whose model has said one piece and waits."""
    house.models.gate.clear()
    started = await house.start(house.workflow(chat_graph()), await house.app("advanced-chat"), query=query)
    await house.until(started.handle.text)
    return started


# -- followers -------------------------------------------------------------------------------------------------------


async def test_every_follower_sees_every_event(house: RunHouse) -> None:
    started = await held(house)
    early = [asyncio.create_task(all_of(started)) for _ in range(5)]
    await asyncio.sleep(0)
    leaver = started.handle.follow()
    first = await anext(leaver)
    assert isinstance(first[0], RunStarted)
    await leaver.aclose()
    cancelled = asyncio.create_task(all_of(started))
    await asyncio.sleep(0)
    cancelled.cancel()
    house.models.gate.set()
    seen = await asyncio.gather(*early)
    late = await all_of(started)
    assert all(events == late for events in seen)
    assert "".join(event.text for event in late if isinstance(event, StreamChunk)) == "first and second"
    assert isinstance(late[-1], RunFinished)
    assert late[-1] is await started.handle.wait()
    order = [(event.seq, event.offset if isinstance(event, StreamChunk) else 0) for event in late]
    assert order == sorted(order)
    logged = [event.seq for event in late if not isinstance(event, StreamChunk)]
    assert logged == list(range(1, len(logged) + 1))


async def test_a_run_goes_on_without_anybody(house: RunHouse) -> None:
    started = await held(house)
    run_id = started.handle.run.run_id
    del started
    house.models.gate.set()
    end = await house.service.get(run_id).wait()
    assert end.status == "succeeded"
    with pytest.raises(NotFound):
        house.service.get(run_id)


# -- whose -----------------------------------------------------------------------------------------------------------


async def test_a_conversation_of_somebody_else_is_not_found(house: RunHouse) -> None:
    program, app = house.workflow(chat_graph()), await house.app("advanced-chat")
    started, _ = await house.run(program, app, query="mine")
    other = RunHouse(house.db, house.writer)
    with pytest.raises(NotFound):
        await other.start(program, app, query="x", conversation_id=started.handle.run.conversation_id)
    with pytest.raises(NotFound):
        await house.start(
            program, await house.app("advanced-chat"), query="x", conversation_id=started.handle.run.conversation_id
        )


# -- stops and limits ------------------------------------------------------------------------------------------------


async def test_only_its_own_user_and_app_stop_a_run(house: RunHouse) -> None:
    started = await held(house)
    run, stop = started.handle.run, house.service.stop
    assert not stop(new_id())
    assert not stop(run.run_id, user_id=new_id())
    assert not stop(run.run_id, user_id=house.creator.id, app_id=new_id())
    assert house.models.closed == 0
    assert stop(run.run_id, user_id=house.creator.id, app_id=run.app_id)
    assert stop(run.run_id)  # twice is harmless
    end = await started.handle.wait()
    assert (end.status, end.error) == ("stopped", "Stopped by user.")
    assert house.models.closed == 1
    assert not stop(run.run_id)


async def test_a_limit_ends_a_run(house: RunHouse) -> None:
    service = house.make_service(run_limits=RunLimits(max_steps=1))
    _, events = await house.run(house.workflow(ALIKE), await house.app(), service=service)
    assert isinstance(events[-1], RunFinished)
    assert (events[-1].status, (await house.row(workflow_runs)).status) == ("failed", "failed")
    assert "Maximum execution steps" in events[-1].error


# -- the end of the process, and of the database ---------------------------------------------------------------------


async def test_close_lets_runs_end(house: RunHouse) -> None:
    started = await held(house)
    closing = asyncio.create_task(house.service.close(grace=30))
    await asyncio.sleep(0)
    house.models.gate.set()
    await closing
    assert (await started.handle.wait()).status == "succeeded"
    assert (await house.row(workflow_runs)).status == "succeeded"


async def test_close_lets_go_of_runs_that_do_not_end(house: RunHouse) -> None:
    started = await held(house)
    follower = asyncio.create_task(all_of(started))
    await asyncio.sleep(0)
    await house.service.close(grace=0)
    with pytest.raises(DifyError, match="without a result"):
        await follower
    with pytest.raises(DifyError):
        await started.handle.wait()
    await asyncio.sleep(0)
    await house.writer.put(Group())  # what was let go is written in its turn
    run_id = started.handle.run.run_id
    assert (await house.row(workflow_runs)).status == "running"
    assert await house.rows(workflow_node_executions) != []
    loaded = await house.store.load(run_id)
    assert [event.seq for event in loaded] == list(range(1, len(loaded) + 1))
    taken = await house.store.open(run_id, "another process")  # its lease was given back
    taken.append(RunFinished(seq=len(loaded) + 1, status="failed"))
    await taken.flush()


async def test_a_run_that_was_taken_over_ends_here(house: RunHouse) -> None:
    started = await held(house)
    while not await house.rows(workflow_run_leases):
        await asyncio.sleep(0.005)
    async with house.db.write() as conn:
        await conn.execute(workflow_run_leases.update().values(owner="another", token=2))
    house.models.gate.set()
    with pytest.raises(RunFenced):
        await started.handle.wait()
    with pytest.raises(RunFenced):
        await all_of(started)
    assert (await house.row(workflow_runs)).status == "running"
    assert (await house.row(workflow_run_leases)).owner == "another"
    assert not any(isinstance(event, NodeFinished) and event.node_type == "llm" for event in await load(house, started))


async def load(house: RunHouse, started: StartedRun) -> list[Event]:
    return list(await house.store.load(started.handle.run.run_id))


async def test_one_run_that_cannot_be_written_spoils_no_other(house: RunHouse) -> None:
    app = await house.app()
    program = house.workflow(ALIKE)
    async with house.db.write() as conn:  # the database refuses one run of many, as a trigger can
        await conn.execute(
            sa.text(
                "CREATE TRIGGER no_bad BEFORE INSERT ON workflow_runs WHEN NEW.triggered_from = 'bad' "
                "BEGIN SELECT RAISE(ABORT, 'no'); END"
            )
        )
    kinds = [kind for kind, _ in zip(itertools.cycle(["app-run", "bad", "app-run"]), range(9), strict=False)]
    started = [await house.start(program, app, triggered_from=kind) for kind in kinds]
    results = await asyncio.gather(*[item.handle.wait() for item in started], return_exceptions=True)
    for kind, result in zip(kinds, results, strict=True):
        assert isinstance(result, DatabaseError if kind == "bad" else RunFinished)
    assert len(await house.rows(workflow_runs)) == 6
    assert len(await house.rows(workflow_run_leases)) == 0
