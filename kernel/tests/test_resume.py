"""Runs that lose their process: whatever the log holds, the run goes on from there and ends as it would have."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from dify_kernel.contracts.node import Delta, Node, NodeContext, NodeResult, RunInfo
from dify_kernel.errors import LogError, PlatformUnavailable, RunFenced
from dify_kernel.graph.engine import Engine, RunLimits
from dify_kernel.graph.events import (
    Event,
    NodeFinished,
    NodePaused,
    NodeStarted,
    RunFinished,
    RunPaused,
    RunResumed,
    RunStarted,
    StreamChunk,
    decode_event,
    encode_event,
)
from dify_kernel.graph.log import MemoryLogStore
from dify_kernel.graph.plan import Plan, compile_plan
from dify_kernel.graph.pool import Pool
from dify_kernel.graph.values import Value, ValueType
from dify_kernel.testing.fakes import fake_ports
from dify_kernel.testing.graph import CALLS, GATES, GraphRun, edges, node, resolve, run_plan

START = node("s", "begin")


def inside(parent: str, id: str, type: str, **data: Any) -> dict[str, Any]:
    return {**node(id, type, **data), "parentId": parent}


def make(nodes: list[dict[str, Any]], *paths: str) -> Plan:
    return compile_plan({"nodes": nodes, "edges": edges(*paths)}, resolve)


BRANCHES = make(
    [
        START,
        node("f", "stream", pieces=["a", "b"]),
        node("c", "choose", handle="true"),
        node("g", "stream", pieces=["c"]),
        node("x", "stream", error="boom", error_strategy="fail-branch"),
        node("w", "write", target=["conversation", "n"], value=7),
        node("a", "answer", answer="{{#f.text#}}|{{#g.text#}}|{{#conversation.n#}}|{{#x.error_message#}}"),
        node("no", "answer", answer="never"),
    ],
    "s > f > c:true > g > x:fail-branch > w > a",
    "c:false > no",
)
ROUNDS = make(
    [
        START,
        node("box", "repeat", count=3, collect=["t", "output"]),
        inside("box", "b", "inside"),
        inside("box", "f", "stream", pieces=["r"]),
        inside("box", "t", "text", text="{{#f.text#}}{{#box.item#}}"),
        inside("box", "say", "answer", answer="<{{#t.output#}}>"),
        node("a", "answer", answer="{{#box.output#}}"),
    ],
    "s > box > a",
    "b > f > t > say",
)
SHARED = make(
    [
        START,
        node("box", "repeat", count=3, isolated=False, carry="", collect=["box", "carry"]),
        inside("box", "b", "inside"),
        inside("box", "f", "stream", pieces=["r"]),
        inside("box", "w", "write", target=["box", "carry"], value="{{later}}"),
        inside("box", "deep", "repeat", isolated=False, collect=["h", "output"]),
        inside("deep", "d", "inside"),
        inside("deep", "h", "text", text="h{{#box.item#}}"),
        node("a", "answer", answer="{{#box.output#}} {{#f.text#}} {{#h.output#}} {{#box.item#}} {{#deep.item#}}"),
    ],
    "s > box > a",
    "b > f > w > deep",
    "d > h",
)
PARALLEL = make(
    [
        START,
        node("box", "repeat", count=4, parallel=True, collect=["f", "text"]),
        inside("box", "b", "inside"),
        inside("box", "f", "stream", pieces=["r"]),
        inside("box", "say", "answer", answer="{{#box.item#}}{{#f.text#}}"),
        node("g", "stream", pieces=["g"]),
        node("a", "answer", answer="{{#g.text#}}{{#box.output#}}"),
    ],
    "s > box > a",
    "s > g > a",
    "b > f > say",
)
PLANS = {"branches": BRANCHES, "rounds": ROUNDS, "shared": SHARED, "parallel": PARALLEL}


def logged(run: GraphRun) -> list[Event]:
    return [decode_event(encode_event(event)) for event in run.events if not isinstance(event, StreamChunk)]


@pytest.mark.parametrize("name", PLANS)
async def test_a_run_cut_off_anywhere_ends_as_it_would_have(name: str) -> None:
    plan = PLANS[name]
    CALLS.clear()
    whole = await run_plan(plan)
    log, effects = logged(whole), len(CALLS)
    assert whole.finished.status in ("succeeded", "partial-succeeded")
    for cut in range(1, len(log)):
        CALLS.clear()
        again = await run_plan(plan, history=log[:cut])
        last = again.finished
        assert (last.status, last.outputs) == (whole.finished.status, whole.finished.outputs), cut
        assert (last.total_steps, last.exceptions_count) == (
            whole.finished.total_steps,
            whole.finished.exceptions_count,
        )
        events = log[:cut] + logged(again)
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        ends = [event.execution_id for event in events if isinstance(event, NodeFinished)]
        starts = [event.execution_id for event in events if isinstance(event, NodeStarted)]
        assert len(set(ends)) == len(ends) == len(set(starts)) == len(starts)
        recorded = {e.execution_id for e in log[:cut] if isinstance(e, NodeFinished) and e.node_type == "stream"}
        assert not {f"run-1:{id}" for id in recorded} & set(CALLS), "a recorded effect happened again"
        assert len(CALLS) == effects - len([e for e in recorded if (e not in failed(log))])


def failed(log: list[Event]) -> set[str]:
    """Stream nodes that fail have no effect."""
    return {e.execution_id for e in log if isinstance(e, NodeFinished) and e.status != "succeeded"}


@pytest.mark.parametrize("name", PLANS)
async def test_what_was_said_before_and_after_the_cut_is_the_whole_answer(name: str) -> None:
    plan = PLANS[name]
    whole = await run_plan(plan)
    log = logged(whole)
    for cut in range(1, len(log)):
        again = await run_plan(plan, history=log[:cut])
        resumed = next(event for event in again.events if isinstance(event, RunResumed))
        assert resumed.text + again.streamed == whole.streamed == whole.finished.outputs["answer"]


async def test_a_run_that_waits_holds_nothing_and_goes_on_with_the_answer() -> None:
    plan = make(
        [
            START,
            node("q", "ask", question="Is {{#s.name#}} fine?", expires_in=60),
            node("par", "stream", pieces=["p"]),
            node("a", "answer", answer="{{#q.text#}}{{#par.text#}}"),
            node("no", "answer", answer="no"),
        ],
        "s > q > a",
        "q:no > no",
        "s > par > a",
    )
    first = await run_plan(plan, inputs={"name": "Ada"})
    paused, last = next(e for e in first.events if isinstance(e, NodePaused)), first.last
    assert isinstance(last, RunPaused)
    assert last.waiting == [paused.execution_id]
    assert paused.data == {"question": "Is Ada fine?"}
    assert paused.expires_at is not None
    assert first.node("par") is not None, "the other branch went on"
    log = logged(first)
    # Recovered without an answer it waits again, and asks nobody twice.
    still = await run_plan(plan, history=log)
    assert isinstance(still.last, RunPaused)
    assert not any(isinstance(event, NodePaused) for event in still.events)
    answers = {paused.execution_id: {"text": "yes"}}
    done = await run_plan(plan, history=log + logged(still), answers=answers)
    assert done.finished.outputs["answer"] == "yesp"
    assert done.finished.elapsed_time < 30
    # The answer is in the log: a process that dies right after it was given changes nothing.
    given = log + logged(still) + logged(done)[:1]
    assert (await run_plan(plan, history=given)).finished.outputs["answer"] == "yesp"


async def test_the_time_in_which_no_process_had_the_run_does_not_count() -> None:
    plan = make([START, node("f", "stream"), node("q", "ask"), node("a", "answer", answer="done")], "s > f > q > a")
    log = logged(await run_plan(plan))
    day = 24 * 3600.0
    cut = next(i for i, event in enumerate(log) if isinstance(event, NodeFinished) and event.node_id == "f") + 1
    lost = log[:cut]
    for event in lost:
        event.at -= day
    lost += logged(await run_plan(plan, history=lost))
    for event in lost:
        event.at -= day
    paused = lost[-1]
    assert isinstance(paused, RunPaused)
    answers = {id: {"text": "yes"} for id in paused.waiting}
    done = (await run_plan(plan, history=lost, answers=answers, run_limits=RunLimits(max_time=60.0))).finished
    assert (done.status, done.outputs["answer"]) == ("succeeded", "done")
    assert done.elapsed_time < 60


@pytest.mark.parametrize("parallel", [False, True])
async def test_a_round_may_wait_while_the_others_are_kept(parallel: bool) -> None:
    plan = make(
        [
            START,
            node("box", "repeat", count=3, parallel=parallel, collect=["q", "text"]),
            inside("box", "b", "inside"),
            inside("box", "f", "stream", pieces=["r"]),
            inside("box", "q", "ask", question="{{#box.item#}}"),
            node("a", "answer", answer="{{#box.output#}}"),
        ],
        "s > box > a",
        "b > f > q",
    )
    CALLS.clear()
    run = await run_plan(plan)
    log = logged(run)
    while isinstance(run.last, RunPaused):
        asked = {e.execution_id: e for e in log if isinstance(e, NodePaused)}
        answers = {id: {"text": f"A{asked[id].data['question']}"} for id in run.last.waiting}
        run = await run_plan(plan, history=log, answers=answers)
        log += logged(run)
    assert run.finished.outputs["answer"] == "- A0\n- A1\n- A2"
    assert len(CALLS) == len(set(CALLS)) == 3


async def test_an_answer_waits_for_a_value_that_a_container_leaves() -> None:
    plan = make(
        [
            START,
            node("box", "repeat", count=2, isolated=False),
            inside("box", "b", "inside"),
            inside("box", "f", "stream", pieces=["x"]),
            inside("box", "t", "text", text="{{#f.text#}}{{#box.item#}}"),
            node("a", "answer", answer="{{#t.output#}}!"),
        ],
        "s > box > a",
        "s > a",
        "b > f > t",
    )
    run = await run_plan(plan)
    assert run.streamed == run.finished.outputs["answer"] == "x1!"


async def test_what_nodes_of_rounds_used_counts_once_whether_their_container_has_ended_or_not() -> None:
    plan = make(
        [
            START,
            node("box", "repeat", count=2),
            inside("box", "b", "inside"),
            inside("box", "f", "stream", tokens=3),
            node("g", "stream", tokens=1),
        ],
        "s > box > g",
        "b > f",
    )
    log = logged(await run_plan(plan))
    used = [(await run_plan(plan, history=log[:cut])).finished.total_tokens for cut in range(1, len(log))]
    assert set(used) == {7}


async def test_a_failure_that_was_recorded_does_not_hide_what_ended_after_it() -> None:
    plan = make(
        [
            START,
            node("x", "stream", error="boom"),
            node("f", "stream"),
            node("t", "text", text="t"),
            node("a", "answer", answer="{{#t.output#}}!"),
        ],
        "s > x",
        "s > f > t > a",
    )
    whole = await run_plan(plan)
    assert whole.finished.error == "boom"
    assert whole.finished.outputs["answer"] == "t!"
    log = logged(whole)
    told = next(i for i, e in enumerate(log) if isinstance(e, NodeFinished) and e.node_id == "f") + 1
    assert any(isinstance(e, NodeFinished) and e.status == "failed" for e in log[:told])
    for cut in range(told, len(log)):
        again = (await run_plan(plan, history=log[:cut])).finished
        assert (again.status, again.error, again.outputs) == ("failed", "boom", whole.finished.outputs)


@pytest.mark.parametrize("parallel", [False, True])
async def test_nobody_has_to_answer_what_a_round_asked_that_has_failed(parallel: bool) -> None:
    plan = make(
        [
            START,
            node("q", "ask", question="outside"),
            node("box", "repeat", parallel=parallel, error_strategy="default-value"),
            inside("box", "b", "inside"),
            inside("box", "r", "ask", question="inside"),
            inside("box", "x", "stream", pieces=["1", "2"], error="boom"),
        ],
        "s > q",
        "s > box",
        "b > r",
        "b > x",
    )
    run = await run_plan(plan)
    assert isinstance(run.last, RunPaused)
    asked = {e.node_id: e.execution_id for e in run.events if isinstance(e, NodePaused)}
    assert set(asked) == {"q", "r"}
    assert run.last.waiting == [asked["q"]]


async def test_results_of_another_run_are_adopted_and_not_worked_out_again() -> None:
    plan = make(
        [START, node("f", "stream", pieces=["x"]), node("g", "stream", pieces=["y"], error="boom", fail_first=0)],
        "s > f > g",
    )
    broken = await run_plan(plan)
    assert broken.finished.status == "failed"
    kept = [e for e in broken.events if isinstance(e, NodeFinished) and e.status == "succeeded"]
    CALLS.clear()
    mended = make(
        [START, node("f", "stream", pieces=["other"]), node("g", "answer", answer="{{#f.text#}}")], "s > f > g"
    )
    again = await run_plan(mended, run_id="run-2", adopted=kept)
    assert again.finished.outputs["answer"] == again.streamed == "x"
    assert CALLS == []
    ids = {e.execution_id for e in again.events if isinstance(e, NodeFinished)}
    assert not ids & {e.execution_id for e in kept}
    assert [e.seq for e in again.events if not isinstance(e, StreamChunk)] == list(range(1, 9))


def with_secret() -> Pool:
    pool = Pool()
    pool.set("env", "KEY", Value(ValueType.SECRET, "s3cret"))
    return pool


async def test_secrets_are_clear_again_after_a_replay_and_hidden_in_the_log() -> None:
    plan = make(
        [
            START,
            node("t", "text", text="k={{#env.KEY#}}"),
            node("f", "stream"),
            node("u", "text", text="{{#t.output#}}"),
        ],
        "s > t > f > u",
    )
    log = logged(await run_plan(plan, pool=with_secret()))
    assert "s3cret" not in repr(log)
    begun = log[0]
    assert isinstance(begun, RunStarted)
    pool = Pool.load(begun.variables)
    for _, name, value in with_secret():
        pool.set("env", name, value)
    cut = next(i for i, e in enumerate(log) if isinstance(e, NodeFinished) and e.node_id == "t") + 1
    again = await run_plan(plan, history=log[:cut], pool=pool)
    assert pool.get(("t", "output")) == pool.get(("u", "output")) == Value(ValueType.STRING, "k=s3cret")
    assert "s3cret" not in repr(again.events)


async def test_a_stranger_cannot_make_a_secret_of_what_he_wrote() -> None:
    plan = make([START, node("t", "text", text="{{#inputs.x#}} {{#env.KEY#}}"), node("f", "stream")], "s > t > f")
    run = await run_plan(plan, pool=with_secret(), inputs={"x": "[secret:KEY]"})
    finished = run.node("t")
    assert finished is not None
    assert finished.masked == "ambiguous"
    with pytest.raises(LogError, match="looks like a hidden secret"):
        await run_plan(plan, history=logged(run)[:-1], pool=with_secret())


async def test_a_log_that_fits_another_graph_is_refused() -> None:
    log = logged(await run_plan(BRANCHES))
    other = make([START, node("z", "stream")], "s > z")
    with pytest.raises(LogError, match="has not come to it"):
        await run_plan(other, history=log[:-1])


async def test_a_log_that_has_ended_cannot_be_resumed() -> None:
    log = logged(await run_plan(BRANCHES))
    with pytest.raises(LogError, match="has ended"):
        await run_plan(BRANCHES, history=log)


async def test_effects_wait_for_the_record_of_effects_before_them() -> None:
    """A log that cannot write after the first result: the second effect never happens."""

    class Full(Exception):
        pass

    class Broken:
        def __init__(self) -> None:
            self.events: list[Event] = []

        def append(self, event: Event) -> None:
            self.events.append(event)

        def push(self) -> None:
            pass

        async def flush(self) -> None:
            if any(isinstance(e, NodeFinished) and e.node_type == "stream" for e in self.events):
                raise Full

    CALLS.clear()
    plan = make([START, node("f", "stream"), node("t", "text"), node("g", "stream")], "s > f > t > g")
    with pytest.raises(Full):
        await run_plan(plan, log=Broken())
    assert len(CALLS) == 1


async def test_a_stop_inside_a_round_stops_the_run_and_no_node_takes_it_for_its_own_failure() -> None:
    GATES["round"] = asyncio.Event()
    plan = make(
        [
            START,
            node("box", "repeat", error_strategy="default-value"),
            inside("box", "b", "inside"),
            inside("box", "f", "stream", gate="round"),
        ],
        "s > box",
        "b > f",
    )
    events: list[Event] = []
    engine = Engine(plan, Pool(), run=RunInfo(run_id="r"), ports=fake_ports(), sink=events.append)
    task = asyncio.create_task(engine.run())
    while not any(isinstance(e, NodeStarted) and e.node_id == "f" for e in events):
        await asyncio.sleep(0)
    engine.stop()
    outcome = await task
    assert isinstance(outcome.event, RunFinished)
    assert outcome.event.status == "stopped"
    assert not any(isinstance(e, NodeFinished) and e.node_id == "box" for e in events)


async def test_steps_inside_containers_count_towards_the_limit_but_are_not_shown() -> None:
    run = await run_plan(ROUNDS, run_limits=RunLimits(max_steps=6))
    assert run.finished.error == "Maximum execution steps exceeded: 7 > 6"
    assert (await run_plan(ROUNDS)).finished.total_steps == 3


async def test_the_memory_store_keeps_a_resumed_log_dense() -> None:
    store = MemoryLogStore()
    run = await run_plan(ROUNDS, log=await store.open("run-1", "a"))
    log = await store.load("run-1")
    other = MemoryLogStore()
    held = await other.open("run-1", "a")
    for event in log[:9]:
        held.append(event)
    await held.flush()
    await run_plan(ROUNDS, history=log[:9], log=await other.open("run-1", "b"))
    assert [e.seq for e in await other.load("run-1")] == list(range(1, len(await other.load("run-1")) + 1))
    assert run.finished.status == "succeeded"


class _AwayNode(Node):
    """The platform's own server is away the first time, in spite of any strategy."""

    type = "away"
    times = 0

    async def run(self, ctx: NodeContext) -> AsyncIterator[Delta]:
        _AwayNode.times += 1
        if _AwayNode.times == 1:
            raise PlatformUnavailable("The database does not answer.")
        yield NodeResult(outputs={"text": "done"})


@pytest.mark.parametrize("inside_a_round", [False, True])
async def test_a_node_that_finds_the_platform_away_has_not_failed(inside_a_round: bool) -> None:
    _AwayNode.times = 0
    away = node("away", "away", error_strategy="default-value", retry_config={"retry_enabled": True, "max_retries": 3})
    nodes, paths = [START, node("f", "stream"), away], ["s > f > away"]
    if inside_a_round:
        parts = [inside("box", "b", "inside"), inside("box", "f", "stream"), {**away, "parentId": "box"}]
        nodes, paths = [START, node("box", "repeat"), *parts], ["s > box", "b > f > away"]
    plan = compile_plan(
        {"nodes": nodes, "edges": edges(*paths)},
        lambda kind, version: _AwayNode if kind == "away" else resolve(kind, version),
    )
    store = MemoryLogStore()
    with pytest.raises(PlatformUnavailable):
        await run_plan(plan, log=await store.open("run-1", "a"))
    log = list(await store.load("run-1"))
    assert [event.node_id for event in log if isinstance(event, NodeFinished)] == ["s", "f"]
    assert (await run_plan(plan, history=log)).finished.status == "succeeded"


async def test_who_lost_a_run_while_reading_its_log_has_no_effect() -> None:
    plan = compile_plan(
        {"nodes": [START, node("f", "stream"), node("away", "away")], "edges": edges("s > f > away")},
        lambda kind, version: _AwayNode if kind == "away" else resolve(kind, version),
    )
    store, _AwayNode.times = MemoryLogStore(), 0
    with pytest.raises(PlatformUnavailable):
        await run_plan(plan, log=await store.open("run-1", "a"))
    log = list(await store.load("run-1"))
    slow = await store.open("run-1", "b")
    await store.open("run-1", "c")
    with pytest.raises(RunFenced):
        await run_plan(plan, history=log, log=slow)
    assert _AwayNode.times == 1
