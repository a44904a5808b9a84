"""A run whose process is gone is taken up by another from its log; one that cannot go on is ended with the reason."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis.asyncio as redis
import sqlalchemy as sa
from dify_host.apps.records import Variable
from dify_host.db.engine import Database
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id, utc_now
from dify_host.db.writer import BatchWriter, Group
from dify_host.identity.accounts import insert_account
from dify_host.identity.workspaces import insert_workspace
from dify_host.platform import Platform
from dify_host.runs.commands import RunCommands, StopCommand
from dify_host.runs.owner import is_gone, process_owner
from dify_host.runs.tables import (
    conversations,
    messages,
    workflow_app_logs,
    workflow_conversation_variables,
    workflow_node_executions,
    workflow_run_leases,
    workflow_runs,
)
from dify_kernel.errors import DifyError, LogError, RunFenced
from dify_kernel.graph.events import NodeFinished, RunFinished, RunResumed
from dify_kernel.testing.openai_server import OpenAIServer

from .run_house import MODEL, RunHouse, chat_graph, graph, node

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


@pytest.fixture
async def other(house: RunHouse) -> AsyncIterator[RunHouse]:
    """Another process on the same database."""
    other = house.neighbour("there")
    yield other
    await other.close()


@pytest.fixture
async def bus(redis_url: str) -> AsyncIterator[redis.Redis]:
    bus = redis.Redis.from_url(redis_url)
    yield bus
    await bus.aclose()


async def abandoned(house: RunHouse, *, basic: bool = False, query: str = "REPLY:long text", **more: Any) -> str:
    """A run that is written down as running, and whose process says nothing any more."""
    house.models.gate.clear()
    program = house.basic("chat") if basic else house.workflow(chat_graph(), **more)
    started = await house.start(program, await house.app("chat" if basic else "advanced-chat"), query=query)
    while not await house.rows(workflow_run_leases, workflow_run_leases.c.run_id == started.handle.run.run_id):
        await asyncio.sleep(0.005)
    await lapse(house.db)
    return started.handle.run.run_id


async def ended(house: RunHouse, run_id: str) -> list[Any]:
    """The log of a run once it has ended; numbered without gaps, with one end."""
    events: list[Any] = []
    for _ in range(2000):
        events = await house.store.load(run_id)
        if events and isinstance(events[-1], RunFinished):
            break
        await asyncio.sleep(0.005)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert [isinstance(event, RunFinished) for event in events] == [False] * (len(events) - 1) + [True]
    return events


async def test_a_lost_run_goes_on_in_another_process(house: RunHouse, other: RunHouse, bus: redis.Redis) -> None:
    run_id = await abandoned(house)
    assert await other.recovery(bus).sweep() == 1
    events = await ended(other, run_id)
    assert events[-1].status == "succeeded"
    assert [event.cause for event in events if isinstance(event, RunResumed)] == ["recovered"]
    run, message = await house.row(workflow_runs), await house.row(messages)
    assert (run.status, run.total_steps, run.error) == ("succeeded", 3, None)
    assert (message.status, message.answer) == ("normal", "long text")
    nodes = {row.node_id: row.status for row in await house.rows(workflow_node_executions)}
    assert nodes == {"start": "succeeded", "llm": "succeeded", "answer": "succeeded"}
    assert len(await house.rows(workflow_app_logs)) == len(await house.rows(conversations)) == 1
    assert await house.rows(workflow_run_leases) == []
    house.models.gate.set()  # the first process was only slow: it may not change the end any more
    with pytest.raises(RunFenced):
        await house.service.get(run_id).wait()
    assert await house.store.load(run_id) == events
    with pytest.raises(LogError):
        (await house.store.open(run_id, "late")).append(RunFinished(seq=len(events) + 1, status="succeeded"))


async def test_a_run_that_several_begin_stays_with_the_first(
    house: RunHouse, other: RunHouse, bus: redis.Redis
) -> None:
    house.models.gate.clear()
    program, app, run_id = house.workflow(chat_graph()), await house.app("advanced-chat"), new_id()
    wanted = {"query": "REPLY:long text", "run_id": run_id}
    started = await house.start(program, app, **wanted)
    await house.until(started.handle.text)
    await house.row(workflow_run_leases)
    with pytest.raises(RunFenced):
        await house.start(program, app, **wanted)
    late = await other.start(program, app, **wanted)
    with pytest.raises(DifyError):
        await late.handle.wait()
    await house.writer.put(Group())  # what it wrote at its end is there now
    assert await other.recovery(bus).sweep() == 0
    house.models.gate.set()
    assert (await started.handle.wait()).status == "succeeded"
    events = await ended(house, run_id)
    assert not any(isinstance(event, RunResumed) for event in events)


async def test_the_message_of_a_basic_app_goes_on(house: RunHouse, other: RunHouse, bus: redis.Redis) -> None:
    run_id = await abandoned(house, basic=True)
    assert await other.recovery(bus).sweep() == 1
    await ended(other, run_id)
    message = await house.row(messages)
    assert (message.id, message.status, message.answer) == (run_id, "normal", "long text")
    assert await house.rows(workflow_runs) == []


async def test_variables_and_secrets_are_what_they_were(house: RunHouse, other: RunHouse, bus: redis.Redis) -> None:
    count = Variable(id=new_id(), name="count", value_type="number", value=4)
    secret = Variable(id=new_id(), name="KEY", value_type="secret", value="s3cret")
    house.models.gate.clear()
    program = house.workflow(
        graph(
            node("start", "start", variables=[]),
            node("t", "template-transform", template="k={{ k }}", variables=[var("k", "env", "KEY")]),
            node("w", "assigner", version="2", items=[plus_one()]),
            node("llm", "llm", model=MODEL, prompt_template=[{"role": "user", "text": "REPLY:ok"}]),
            node("len", "template-transform", template="{{ t | length }}", variables=[var("t", "t", "output")]),
            node("answer", "answer", answer="{{#llm.text#}} {{#conversation.count#}} {{#len.output#}}"),
        ),
        env=[secret],
        conversation=[count],
    )
    started = await house.start(program, await house.app("advanced-chat"), query="q")
    while not any(getattr(e, "node_id", "") == "llm" for e in await house.store.load(started.handle.run.run_id)):
        await asyncio.sleep(0.005)
    await lapse(house.db)
    await other.recovery(bus).sweep()
    events = await ended(other, started.handle.run.run_id)
    assert events[-1].outputs["answer"] == f"ok 5 {len('k=s3cret')}"
    assert "s3cret" not in repr(events)
    (stored,) = await house.rows(workflow_conversation_variables)
    assert stored.data["value"] == 5
    written = [event.node_id for event in events if isinstance(event, NodeFinished)]
    assert written == ["start", "t", "w", "llm", "len", "answer"]


def var(name: str, *selector: str) -> dict[str, Any]:
    return {"variable": name, "value_selector": list(selector)}


def plus_one() -> dict[str, Any]:
    target = ["conversation", "count"]
    return {"variable_selector": target, "input_type": "constant", "operation": "+=", "value": 1}


async def test_runs_that_go_on_are_left_alone(house: RunHouse, other: RunHouse, bus: redis.Redis) -> None:
    lost = await abandoned(house)
    program = house.workflow(graph(node("start", "start", variables=[]), *chat_graph()["nodes"][1:]))
    live = await house.start(program, await house.app("advanced-chat"), query="hi")
    while not await house.rows(workflow_run_leases, workflow_run_leases.c.run_id == live.handle.run.run_id):
        await asyncio.sleep(0.005)
    assert await other.recovery(bus).sweep() == 1
    await ended(other, lost)
    assert await other.recovery(bus).sweep() == 0
    house.models.gate.set()
    assert (await live.handle.wait()).status == "succeeded"
    assert not any(isinstance(event, RunResumed) for event in await ended(house, live.handle.run.run_id))


async def test_two_that_look_take_each_run_up_once(house: RunHouse, other: RunHouse, bus: redis.Redis) -> None:
    run_ids = [await abandoned(house) for _ in range(4)]
    third = house.neighbour("third")
    counts = await asyncio.gather(other.recovery(bus).sweep(), third.recovery(bus).sweep())
    assert sum(counts) == len(run_ids)
    for run_id in run_ids:
        events = await ended(other, run_id)
        assert sum(isinstance(event, RunResumed) for event in events) == 1
    rows = await house.rows(workflow_node_executions, workflow_node_executions.c.node_id == "llm")
    assert [row.status for row in rows] == ["succeeded"] * len(run_ids)
    await third.close()


async def test_a_run_whose_app_is_gone_is_ended_with_the_reason(
    house: RunHouse, other: RunHouse, bus: redis.Redis
) -> None:
    run_id = await abandoned(house)
    other.made.clear()
    assert await other.recovery(bus).sweep() == 1
    end = (await ended(other, run_id))[-1]
    run, message = await house.row(workflow_runs), await house.row(messages)
    assert (run.status, run.error) == (end.status, end.error) == (message.status.replace("error", "failed"), end.error)
    assert "could not go on: It is gone." in end.error
    nodes = {row.node_id: row.status for row in await house.rows(workflow_node_executions)}
    assert nodes == {"start": "succeeded", "llm": "failed"}


async def test_a_run_that_ends_every_process_is_given_up(house: RunHouse, bus: redis.Redis) -> None:
    run_id = await abandoned(house)
    victims = [await taken_up(house.neighbour(f"victim-{number}"), run_id, bus) for number in range(5)]
    last = house.neighbour("last")
    assert await last.recovery(bus).sweep() == 1
    end = (await ended(last, run_id))[-1]
    assert (end.status, end.error_type) == ("failed", "LostTooOften")
    for one in (*victims, last):
        await one.close()


async def taken_up(victim: RunHouse, run_id: str, bus: redis.Redis) -> RunHouse:
    """A process that has taken a run up, written that down, and says nothing any more."""
    victim.models.gate.clear()
    assert await victim.recovery(bus).sweep() == 1
    handle = victim.service.get(run_id)
    await victim.until(lambda: any(isinstance(event, RunResumed) for event in handle._events[: handle._shown]))
    await lapse(victim.db)
    return victim


async def test_a_run_that_is_let_go_in_order_is_not_to_blame(house: RunHouse, bus: redis.Redis) -> None:
    run_id = await abandoned(house)
    for number in range(7):  # as when each release of a day finds it at work
        await (await taken_up(house.neighbour(f"ends-{number}"), run_id, bus)).close()
    last = house.neighbour("last")
    assert await last.recovery(bus).sweep() == 1
    events = await ended(last, run_id)
    resumed = [event.let_go for event in events if isinstance(event, RunResumed)]
    assert (events[-1].status, resumed) == ("succeeded", [False, *[True] * 7])
    await last.close()


async def test_a_lost_run_that_was_stopped_ends_as_stopped(house: RunHouse, other: RunHouse, bus: redis.Redis) -> None:
    stopped, kept = await abandoned(house), await abandoned(house)
    app_id = house.service.get(stopped).run.app_id
    recovery = other.recovery(bus)
    commands = RunCommands(bus, other.service, left=recovery.stop_left)
    await commands.stop(StopCommand(task_id=kept, app_id=app_id))  # another app's
    await commands.stop(StopCommand(task_id=stopped, app_id=app_id, user_id="somebody else"))
    await commands.stop(StopCommand(task_id=new_id(), app_id=app_id))
    assert {row.status for row in await house.rows(workflow_runs)} == {"running"}
    await commands.stop(StopCommand(task_id=stopped, app_id=app_id, user_id=house.creator.id))
    assert (await ended(other, stopped))[-1].status == "stopped"
    await recovery.sweep()
    assert (await ended(other, kept))[-1].status == "succeeded"


async def test_a_lease_of_which_nothing_else_is_left(house: RunHouse, bus: redis.Redis) -> None:
    row = {"run_id": new_id(), "owner": "gone", "token": 1, "expires_at": utc_now() - timedelta(days=1)}
    async with house.db.write() as conn:
        await conn.execute(workflow_run_leases.insert().values(row))
    await house.recovery(bus).sweep()
    for _ in range(400):
        if not await house.rows(workflow_run_leases):
            break
        await asyncio.sleep(0.005)
    assert await house.rows(workflow_run_leases) == []


async def test_a_process_is_known_by_its_name_to_live_or_to_be_gone() -> None:
    mine = process_owner()
    assert not is_gone(mine)
    place, _, rest = mine.rpartition(":")[0].rpartition(":")
    child = await asyncio.create_subprocess_exec("true")
    await child.wait()
    assert is_gone(f"{place}:{child.pid}:00000000")
    assert not is_gone(f"elsewhere/1:{child.pid}:00000000")
    assert not is_gone(rest)
    assert not is_gone("")


# -- a process that is killed ----------------------------------------------------------------------------------------


LONG = "DELAY:20 TOKENS:100"
APPS = {
    "workflow": """
kind: app
version: 0.5.0
app: {name: Echo, mode: workflow}
workflow:
  graph:
    nodes:
    - {id: start, data: {type: start, title: Start, variables: []}}
    - {id: llm, data: {type: llm, title: Model, prompt_template: [{role: user, text: 'DELAY:20 TOKENS:100'}],
        model: {provider: openai, name: gpt-4o-mini, mode: chat, completion_params: {}}}}
    - {id: end, data: {type: end, title: End, outputs: [{variable: text, value_selector: [llm, text]}]}}
    edges:
    - {source: start, target: llm}
    - {source: llm, target: end}
""",
    "chat": """
kind: app
version: 0.5.0
app: {name: Chat, mode: chat}
model_config:
  pre_prompt: ''
  model: {provider: openai, name: gpt-4o-mini, mode: chat, completion_params: {}}
""",
}


@pytest.mark.parametrize("mode", APPS)
async def test_a_killed_process_leaves_a_run_that_another_ends(
    platform: Platform, env: dict[str, str], openai: OpenAIServer, mode: str
) -> None:
    plan = {**await published(platform, openai, APPS[mode]), "env": env, "query": LONG}
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(SCRIPT), msgspec.json.encode(plan).decode(), stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    run_id = (await child.stdout.readline()).decode().strip()
    with pytest.raises(RunFenced):
        await platform.run_logs.open(run_id, "another")
    assert await platform.recovery.sweep() == 0
    child.kill()
    await child.wait()
    before = await platform.run_logs.load(run_id)
    assert before, "what the client saw was durable"
    assert not isinstance(before[-1], RunFinished)
    assert await platform.recovery.sweep() == 1  # at once: the process is known to be gone
    end = await platform.runs.get(run_id).wait()
    events = await platform.run_logs.load(run_id)
    assert (end.status, events[-1]) == ("succeeded", end)
    assert events[: len(before)] == before
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    async with platform.db.read() as conn:
        runs = (await conn.execute(sa.select(workflow_runs.c.status))).scalars().all()
        said = (await conn.execute(sa.select(messages.c.answer))).scalars().all()
    assert runs == (["succeeded"] if mode == "workflow" else [])
    assert said == ([] if mode == "workflow" else [end.outputs["answer"]])


async def published(platform: Platform, openai: OpenAIServer, dsl: str) -> dict[str, Any]:
    async with platform.db.write() as conn:
        owner = await insert_account(conn, email=f"{new_id()}@example.com", name="Owner", password=None)
        tenant_id = await insert_workspace(conn, platform.keyring, name="House", owner_id=owner)
    workspace = await platform.workspace(Tenant(tenant_id))
    credentials = {"openai_api_key": "a-key-of-this-test", "openai_api_base": openai.url}
    await workspace.providers.add("openai", credentials)
    made = await workspace.apps.import_dsl(dsl, account_id=owner)
    if made.app_mode == "workflow":
        await workspace.apps.publish(made.app_id, owner)
    return {"tenant": tenant_id, "app": made.app_id}
