"""The engine: branches, joins, skips, failure strategies, retry, stop, limits, numbering, secrets."""

from __future__ import annotations

import asyncio

import pytest
from dify_kernel.contracts.node import RunInfo
from dify_kernel.errors import LogError, RunFenced
from dify_kernel.graph.engine import Engine, RunLimits
from dify_kernel.graph.events import NodeFinished, NodeRetried, NodeStarted, RunFinished, StreamChunk
from dify_kernel.graph.log import MemoryLogStore
from dify_kernel.graph.plan import compile_plan
from dify_kernel.graph.pool import Pool
from dify_kernel.graph.values import Value, ValueType
from dify_kernel.testing.fakes import fake_ports
from dify_kernel.testing.graph import GATES, edges, node, resolve, run_graph, run_plan

START = node("s", "begin")


async def test_a_chain_runs_in_order_and_numbers_its_events_without_gaps() -> None:
    run = await run_graph(
        [START, node("t", "text", text="hi {{#s.name#}}"), node("a", "answer", answer="{{#t.output#}}!")],
        edges("s > t > a"),
        inputs={"name": "Ada"},
    )
    assert run.finished.status == "succeeded"
    assert run.finished.outputs == {"answer": "hi Ada!", "files": []}
    assert run.finished.total_steps == 3
    logged = [event.seq for event in run.events if not isinstance(event, StreamChunk)]
    assert logged == list(range(1, len(logged) + 1))


async def test_a_branch_skips_what_hangs_only_on_the_other_side() -> None:
    run = await run_graph(
        [
            START,
            node("c", "choose", handle="false"),
            node("yes", "text"),
            node("deep", "text"),
            node("no", "text"),
            node("join", "text", text="joined"),
        ],
        edges("s > c:true > yes > deep > join", "c:false > no > join"),
    )
    started = [event.node_id for event in run.events if isinstance(event, NodeStarted)]
    assert started == ["s", "c", "no", "join"]


async def test_a_join_waits_for_every_taken_edge() -> None:
    GATES["slow"] = asyncio.Event()
    plan = compile_plan(
        {
            "nodes": [
                START,
                node("slow", "stream", pieces=["x"], gate="slow"),
                node("fast", "text", text="y"),
                node("join", "text", text="{{#slow.text#}}{{#fast.output#}}"),
            ],
            "edges": edges("s > slow > join", "s > fast > join"),
        },
        resolve,
    )
    task = asyncio.create_task(run_plan(plan))
    for _ in range(20):
        await asyncio.sleep(0)
    GATES["slow"].set()
    run = await task
    join = run.node("join")
    assert join is not None
    assert join.outputs == {"output": "xy"}


async def test_a_failure_without_strategy_ends_the_run_and_keeps_what_ran() -> None:
    run = await run_graph([START, node("f", "stream", error="boom"), node("after", "text")], edges("s > f > after"))
    assert (run.finished.status, run.finished.error, run.finished.exceptions_count) == ("failed", "boom", 1)
    failed = run.node("f")
    assert failed is not None
    assert (failed.status, failed.error_type) == ("failed", "StreamError")
    assert run.node("after") is None
    assert isinstance(run.events[-1], RunFinished)


async def test_default_values_take_the_place_of_a_failed_nodes_outputs() -> None:
    run = await run_graph(
        [
            START,
            node(
                "f",
                "stream",
                error="boom",
                error_strategy="default-value",
                default_value=[
                    {"key": "text", "type": "string", "value": "DEF"},
                    {"key": "n", "type": "number", "value": "2"},
                ],
            ),
            node("a", "answer", answer="{{#f.text#}} {{#f.n#}} {{#f.error_type#}}"),
        ],
        edges("s > f > a"),
    )
    assert run.finished.status == "partial-succeeded"
    assert run.finished.outputs["answer"] == run.streamed == "DEF 2.0 StreamError"


async def test_fail_branch_takes_its_own_handle_only_on_failure() -> None:
    for error, ran in (("boom", "bad"), ("", "good")):
        run = await run_graph(
            [
                START,
                node("f", "stream", error=error, error_strategy="fail-branch"),
                node("good", "text"),
                node("bad", "text"),
            ],
            edges("s > f > good", "f:fail-branch > bad"),
        )
        assert [n for n in ("good", "bad") if run.node(n)] == [ran]


async def test_retry_waits_only_for_its_node_keeps_the_key_and_forgets_the_exception() -> None:
    retry = {"retry_enabled": True, "max_retries": 3, "retry_interval": 1}
    run = await run_graph(
        [
            START,
            node("f", "stream", pieces=["a", "b"], error="flaky", fail_first=2, retry_config=retry),
            node("a", "answer", answer="[{{#f.text#}}]"),
        ],
        edges("s > f > a"),
    )
    assert [event.retry_index for event in run.events if isinstance(event, NodeRetried)] == [1, 2]
    assert run.finished.status == "succeeded"
    assert run.finished.exceptions_count == 0
    assert run.finished.total_steps == 5
    finished = run.node("f")
    assert finished is not None
    ids = {
        e.execution_id
        for e in run.events
        if isinstance(e, NodeStarted | NodeRetried | NodeFinished) and e.node_id == "f"
    }
    assert ids == {finished.execution_id}
    assert finished.outputs["key"] == f"run-1:{finished.execution_id}"


async def test_stop_cancels_running_nodes_and_is_the_only_end() -> None:
    GATES["never"] = asyncio.Event()
    plan = compile_plan(
        {"nodes": [START, node("w", "stream", gate="never"), node("after", "text")], "edges": edges("s > w > after")},
        resolve,
    )
    seen: list[object] = []
    waiting = asyncio.Event()

    def sink(event: object) -> None:
        seen.append(event)
        if isinstance(event, NodeStarted) and event.node_id == "w":
            waiting.set()

    engine = Engine(plan, Pool(), run=RunInfo(run_id="r"), ports=fake_ports(), sink=sink)
    task = asyncio.create_task(engine.run())
    await waiting.wait()
    engine.stop()
    outcome = await task
    engine.stop("again")
    assert outcome.event.status == "stopped"
    assert sum(isinstance(event, RunFinished) for event in seen) == 1


async def test_limits_of_steps_and_time_fail_the_run_with_their_numbers() -> None:
    nodes = [START, *[node(f"n{i}", "text") for i in range(10)]]
    path = " > ".join(item["id"] for item in nodes)
    run = await run_graph(nodes, edges(path), run_limits=RunLimits(max_steps=5))
    assert run.finished.status == "failed"
    assert run.finished.error == "Maximum execution steps exceeded: 6 > 5"
    GATES["late"] = asyncio.Event()
    run = await run_graph(
        [START, node("w", "stream", gate="late")], edges("s > w"), run_limits=RunLimits(max_time=0.05)
    )
    assert run.finished.status == "failed"
    assert run.finished.error.startswith("Maximum execution time exceeded")


async def test_secrets_are_masked_in_every_event_and_clear_inside_the_run() -> None:
    pool = Pool()
    pool.set("env", "KEY", Value(ValueType.SECRET, "s3cret-value"))
    run = await run_graph(
        [START, node("t", "text", text="k={{#env.KEY#}}"), node("a", "answer", answer="{{#t.output#}} {{#env.KEY#}}")],
        edges("s > t > a"),
        pool=pool,
    )
    assert "s3cret-value" not in repr(run.events)
    assert pool.get(("t", "output")) == Value(ValueType.STRING, "k=s3cret-value")
    assert run.finished.outputs["answer"] == run.streamed == "k=[secret:KEY] [secret:KEY]"


async def test_parallel_branches_run_at_the_same_time() -> None:
    """Each waits for a gate that only the other's start opens, so running one after another would hang."""
    GATES["both"] = asyncio.Event()
    plan = compile_plan(
        {
            "nodes": [START, node("l", "stream", gate="both"), node("r", "stream", gate="both")],
            "edges": edges("s > l", "s > r"),
        },
        resolve,
    )
    started: list[str] = []

    def sink(event: object) -> None:
        if isinstance(event, NodeStarted):
            started.append(event.node_id)
            if {"l", "r"} <= set(started):
                GATES["both"].set()

    outcome = await asyncio.wait_for(
        Engine(plan, Pool(), run=RunInfo(run_id="r"), ports=fake_ports(), sink=sink).run(), 5
    )
    assert outcome.event.status == "succeeded"


async def test_events_of_parallel_rounds_come_as_they_happen() -> None:
    """Every round waits for a gate that the start of the last one opens: all have begun before any has ended."""
    GATES["rounds"] = asyncio.Event()
    plan = compile_plan(
        {
            "nodes": [
                START,
                node("box", "repeat", count=2, parallel=True, collect=["f", "text"]),
                {**node("b", "inside"), "parentId": "box"},
                {**node("f", "stream", gate="rounds"), "parentId": "box"},
            ],
            "edges": edges("s > box", "b > f"),
        },
        resolve,
    )
    seen: list[str] = []

    def sink(event: object) -> None:
        if isinstance(event, NodeStarted | NodeFinished) and event.node_id == "f":
            seen.append(type(event).__name__)
            if seen.count("NodeStarted") == 2:
                GATES["rounds"].set()

    outcome = await asyncio.wait_for(
        Engine(plan, Pool(), run=RunInfo(run_id="r"), ports=fake_ports(), sink=sink).run(), 5
    )
    assert outcome.event.status == "succeeded"
    assert seen == ["NodeStarted"] * 2 + ["NodeFinished"] * 2


async def test_a_node_with_an_edge_from_an_unreachable_node_runs_all_the_same() -> None:
    run = await run_graph([START, node("lost", "text"), node("t", "text", text="ran")], edges("s > t", "lost > t"))
    assert run.node("t") is not None
    assert run.node("lost") is None


async def test_the_log_holds_every_event_and_is_durable_before_the_end_is_shown() -> None:
    store = MemoryLogStore()
    log = await store.open("run-1", "me")
    run = await run_graph(
        [START, node("f", "stream", pieces=["x"]), node("a", "answer", answer="{{#f.text#}}")],
        edges("s > f > a"),
        log=log,
    )
    logged = await store.load("run-1")
    assert logged == [event for event in run.events if not isinstance(event, StreamChunk)]
    with pytest.raises(LogError):
        log.append(RunFinished(seq=len(logged) + 1, status="failed"))


async def test_a_fenced_run_stops_without_a_terminal_event() -> None:
    store = MemoryLogStore()
    log = await store.open("run-1", "first")
    await store.open("run-1", "second")
    seen: list[object] = []
    plan = compile_plan({"nodes": [START], "edges": []}, resolve)
    engine = Engine(plan, Pool(), run=RunInfo(run_id="run-1"), ports=fake_ports(), sink=seen.append, log=log)
    with pytest.raises(RunFenced):
        await engine.run()
    assert not any(isinstance(event, RunFinished) for event in seen)
