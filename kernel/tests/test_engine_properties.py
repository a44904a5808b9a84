"""Any graph keeps the promises of the engine: in one go, cut off anywhere, however its document is ordered."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import msgspec
from dify_kernel.graph.events import (
    Event,
    NodeFinished,
    NodePaused,
    NodeRetried,
    NodeStarted,
    RunFinished,
    RunPaused,
    RunResumed,
    Scope,
    StreamChunk,
    decode_event,
    encode_event,
)
from dify_kernel.graph.plan import Plan, compile_plan
from dify_kernel.testing.graph import CALLS, GraphRun, node, resolve, run_plan
from hypothesis import given, settings
from hypothesis import strategies as st

BOUNDED = settings(deadline=None, max_examples=200)


# -- graphs -------------------------------------------------------------------------------------------------------


class Graph(msgspec.Struct, kw_only=True):
    """A document, and how the nodes that ask are answered: by which handle they leave."""

    nodes: list[dict[str, Any]] = []
    edges: list[dict[str, Any]] = []
    handles: dict[str, str] = {}

    def plan(self) -> Plan:
        return compile_plan({"nodes": self.nodes, "edges": self.edges}, resolve)


words = st.text("abc", min_size=1, max_size=2)
KINDS = ["text", "answer", "stream", "stream", "choose", "write", "ask", "repeat"]
LEAVES = {"choose": ["true", "false"], "ask": ["source", "no"]}
GIVES = {"text": "output", "stream": "text", "ask": "text", "answer": "answer", "repeat": "output"}


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    graph = Graph(nodes=[node("s", "begin")])
    draw_level(draw, graph, root="s", parent="", seen=[], depth=0)
    return graph


def draw_level(
    draw: st.DrawFn, graph: Graph, *, root: str, parent: str, seen: list[tuple[str, str]], depth: int
) -> list[tuple[str, str]]:
    """Nodes behind `root`, each behind some of those before it; gives the variables that they have."""
    placed: list[tuple[str, list[str], list[tuple[str, str]]]] = [(root, ["source"], seen)]
    given_here: list[tuple[str, str]] = []
    for number in range(draw(st.integers(1, 6 if depth == 0 else 3))):
        id = f"{parent}n{number}"
        sources = draw(st.lists(st.sampled_from(range(len(placed))), min_size=1, max_size=3, unique=True))
        for source in sources:
            name, leaves, _ = placed[source]
            graph.edges.append({"source": name, "target": id, "sourceHandle": draw(st.sampled_from(leaves))})
        known = list(dict.fromkeys(name for source in sources for name in placed[source][2]))
        kind = draw(st.sampled_from(KINDS if depth < 2 else KINDS[:-1]))
        data = draw_data(draw, graph, kind, id, known, depth)
        graph.nodes.append({**node(id, kind, **data), **({"parentId": parent} if parent else {})})
        leaves = LEAVES.get(kind, ["source"])
        if data.get("error_strategy") == "fail-branch":
            leaves = ["source", "fail-branch"]
        own = [("conversation", f"v{id}")] if kind == "write" else [(id, GIVES[kind])] if kind in GIVES else []
        if kind == "repeat" and not (data["isolated"] or data["parallel"]):
            own += [(id, "item"), tuple(data["collect"])]
        placed.append((id, leaves, known + own))
        given_here += own
    return given_here


def draw_data(
    draw: st.DrawFn, graph: Graph, kind: str, id: str, known: list[tuple[str, str]], depth: int
) -> dict[str, Any]:
    if kind == "choose":
        return {"handle": draw(st.sampled_from(["true", "false"]))}
    if kind == "write":
        return {"target": ["conversation", f"v{id}"], "value": draw(words)}
    if kind == "ask":
        graph.handles[id] = draw(st.sampled_from(["source", "source", "no"]))
        return {"question": draw_template(draw, known)}
    if kind == "answer":
        return {"answer": draw_template(draw, known)}
    data = draw_failing(draw, kind)
    if kind == "text":
        return {**data, "text": draw_template(draw, known)}
    if kind == "stream":
        return {**data, "pieces": draw(st.lists(words, max_size=3)), "tokens": draw(st.integers(0, 2))}
    graph.nodes.append({**node(f"{id}s", "inside"), "parentId": id})
    inside = draw_level(draw, graph, root=f"{id}s", parent=id, seen=[*known, (id, "item")], depth=depth + 1)
    return {
        **data,
        "count": draw(st.integers(0, 3)),
        "isolated": draw(st.booleans()),
        "parallel": draw(st.booleans()),
        "collect": list(draw(st.sampled_from([(id, "item"), *inside]))),
    }


def draw_failing(draw: st.DrawFn, kind: str) -> dict[str, Any]:
    strategy: dict[str, Any] = {}
    chosen = draw(st.sampled_from([None, None, "fail-branch", "default-value"]))
    if chosen:
        strategy = {"error_strategy": chosen}
        if chosen == "default-value":
            strategy["default_value"] = [{"key": GIVES[kind], "type": "string", "value": "D"}]
    if kind == "repeat" or not draw(st.sampled_from([False, False, True])):
        return strategy
    if kind == "text":
        return {**strategy, "error": "inline"}
    retries = draw(st.integers(0, 2))
    return {
        **strategy,
        "error": "boom",
        "fail_first": draw(st.integers(0, 2)),
        "retry_config": {"retry_enabled": True, "max_retries": retries, "retry_interval": 0},
    }


def draw_template(draw: st.DrawFn, known: list[tuple[str, str]]) -> str:
    parts = words if not known else words | st.sampled_from(known).map(lambda name: "{{#" + ".".join(name) + "#}}")
    return "".join(draw(st.lists(parts, min_size=1, max_size=4)))


# -- runs ---------------------------------------------------------------------------------------------------------


class Played(msgspec.Struct, kw_only=True):
    """A run to its end, through all its pauses and crashes: its whole log, and the run that came to the end."""

    log: list[Any]
    last: GraphRun

    @property
    def end(self) -> RunFinished:
        return self.last.finished

    @property
    def ends(self) -> dict[str, NodeFinished]:
        return {event.execution_id: event for event in self.log if isinstance(event, NodeFinished)}

    @property
    def failed(self) -> bool:
        """Whether a node failed, so that what went on beside it may have come to an end, or not."""
        return any(event.status == "failed" for event in self.ends.values())


def logged(run: GraphRun) -> list[Any]:
    return [decode_event(encode_event(event)) for event in run.events if not isinstance(event, StreamChunk)]


def play(graph: Graph, plan: Plan, crashes: list[float] | None = None) -> Played:
    """Run a plan to its end; at each crash the log that came since the one before is lost from that fraction on."""
    return asyncio.run(_play(graph, plan, list(crashes or [])))


async def _play(graph: Graph, plan: Plan, crashes: list[float]) -> Played:
    log: list[Event] = []
    answers: dict[str, dict[str, Any]] = {}
    while True:
        CALLS.clear()
        run = await run_plan(plan, history=log, answers=answers)
        recorded = {f"run-1:{e.execution_id}" for e in log if isinstance(e, NodeFinished)}
        assert not recorded & set(CALLS), "a recorded effect happened again"
        assert len(CALLS) == len(set(CALLS))
        new, answers = logged(run), {}
        check_waiting(log + new)
        if crashes:
            kept = int(crashes.pop(0) * len(new))
            log += new[: max(kept, 1 - len(log))]
            continue
        log += new
        if isinstance(run.last, RunFinished):
            return Played(log=log, last=run)
        asked = {e.execution_id: e for e in log if isinstance(e, NodePaused)}
        for id in run.last.waiting:
            question = asked[id].data["question"]
            answers[id] = {"text": f"({question})", "handle": graph.handles[asked[id].node_id]}


def check_waiting(log: list[Event]) -> None:
    """A run waits for just those that were asked, have not been answered, and are still of interest."""
    last = log[-1]
    if not isinstance(last, RunPaused):
        return
    answered = {id for event in log if isinstance(event, RunResumed) for id in event.answers}
    over = {(e.scope, e.node_id) for e in log if isinstance(e, NodeFinished)}
    asked = {
        e.execution_id
        for e in log
        if isinstance(e, NodePaused) and e.execution_id not in answered and not any(o in over for o in around(e.scope))
    }
    assert set(last.waiting) == asked
    assert len(last.waiting) == len(asked)


def around(scope: Scope) -> list[tuple[Scope, str]]:
    """The containers around a scope, each with its own scope."""
    return [(scope[:depth], node_id) for depth, (node_id, _) in enumerate(scope)]


# -- promises -----------------------------------------------------------------------------------------------------


def check_log(played: Played) -> None:
    log = played.log
    assert [event.seq for event in log] == list(range(1, len(log) + 1))
    assert [type(event) for event in log].count(RunFinished) == 1
    starts = Counter(event.execution_id for event in log if isinstance(event, NodeStarted))
    ends = Counter(event.execution_id for event in log if isinstance(event, NodeFinished))
    assert set(starts.values()) <= {1}
    assert set(ends.values()) <= {1}
    assert set(ends) <= set(starts)
    if not played.failed:
        assert set(ends) == set(starts)


def unsaid(log: list[Event]) -> bool:
    """Whether an attempt failed that may have said something already, which nobody takes back."""
    return any(
        isinstance(event, NodeRetried)
        or (isinstance(event, NodeFinished) and event.node_type in ("stream", "repeat") and event.status != "succeeded")
        for event in log
    )


def check_text(played: Played) -> None:
    """What was streamed is what is stored."""
    if played.failed or unsaid(played.log):
        return
    resumed = [event for event in played.last.events if isinstance(event, RunResumed)]
    before = resumed[0].text if resumed else ""
    assert before + played.last.streamed == played.end.outputs.get("answer", "")


def check_same(one: Played, other: Played) -> None:
    """Two runs of the same graph ended the same, but for what raced: the order of answers, what a failure cut off."""
    assert one.end.status == other.end.status
    if one.failed or other.failed:
        return
    assert {id: told(event) for id, event in one.ends.items()} == {id: told(e) for id, e in other.ends.items()}
    for name in ("total_steps", "exceptions_count", "total_tokens"):
        assert getattr(one.end, name) == getattr(other.end, name), name
    said, also = one.end.outputs.get("answer", ""), other.end.outputs.get("answer", "")
    if not unsaid(one.log):
        assert Counter(said) == Counter(also)


def check_recorded(plan: Plan, played: Played) -> None:
    """A run that lost its process when all but its end was recorded ends just so, failed or not."""
    again = asyncio.run(run_plan(plan, history=played.log[:-1])).finished
    for name in ("status", "error", "error_type", "total_tokens", "total_steps", "exceptions_count"):
        assert getattr(again, name) == getattr(played.end, name), name
    boxes = {e.execution_id for e in played.log if isinstance(e, NodeStarted) and e.node_type == "repeat"}
    if boxes <= played.ends.keys():  # of one that was cut off by a failure, what it said so far is not recorded
        assert again.outputs == played.end.outputs


def told(event: NodeFinished) -> tuple[Any, ...]:
    return (event.node_id, event.scope, event.status, event.outputs, event.error, event.handle, event.updates)


@given(graph=graphs())
@BOUNDED
def test_every_run_keeps_the_promises_of_its_log(graph: Graph) -> None:
    plan = graph.plan()
    played = play(graph, plan)
    check_log(played)
    check_text(played)
    check_recorded(plan, played)


@given(graph=graphs(), crashes=st.lists(st.floats(0, 0.999), min_size=1, max_size=4))
@BOUNDED
def test_a_run_cut_off_again_and_again_ends_as_one_that_was_not(graph: Graph, crashes: list[float]) -> None:
    plan = graph.plan()
    whole, again = play(graph, plan), play(graph, plan, crashes)
    check_log(again)
    check_text(again)
    check_same(whole, again)


@given(graph=graphs(), random=st.randoms(use_true_random=False))
@BOUNDED
def test_the_order_of_nodes_and_edges_in_the_document_decides_nothing_but_who_speaks_first(
    graph: Graph, random: Any
) -> None:
    other = Graph(
        nodes=random.sample(graph.nodes, len(graph.nodes)),
        edges=random.sample(graph.edges, len(graph.edges)),
        handles=graph.handles,
    )
    plan, mixed = graph.plan(), other.plan()
    assert shape(plan) == shape(mixed)
    one, two = play(graph, plan), play(other, mixed)
    check_log(two)
    assert one.end.status == two.end.status
    if not (one.failed or two.failed):
        assert results(one) == results(two)


def shape(plan: Plan) -> Any:
    """A plan without its indexes; in its order every edge leads on."""
    place = {index: position for position, index in enumerate(plan.order)}
    assert all(place[edge.source] < place[edge.target] for edge in plan.edges)
    nodes = plan.nodes
    return (
        nodes[plan.root].id,
        sorted((item.id, shape(item.body) if item.body else None) for item in nodes),
        sorted((nodes[edge.source].id, nodes[edge.target].id, edge.handle) for edge in plan.edges),
        sorted(problem.node_id or "" for problem in plan.warnings),
    )


def results(played: Played) -> dict[Any, Any]:
    """What each node gave; the key of a stream hangs on its execution id."""
    return {
        (e.scope, e.node_id): (e.status, {name: data for name, data in e.outputs.items() if name != "key"})
        for e in played.ends.values()
    }
