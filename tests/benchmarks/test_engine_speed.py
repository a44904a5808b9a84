"""What the engine costs a node, with events and variable pool, beside bare asyncio of the same shape and LangGraph.

The nodes are real pure ones (start, template-transform, variable-aggregator, end) and, where work takes time, a node
of this file that sleeps. A share is that of the floor's nodes a CPU second; each side counts its best round.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypedDict

import pytest
from dify_kernel.contracts.node import Delta, Node, NodeConfig, NodeContext, NodeResult, RunInfo
from dify_kernel.graph.engine import Engine, RunLimits
from dify_kernel.graph.events import Event
from dify_kernel.graph.output import OutputMap
from dify_kernel.graph.plan import Plan, compile_plan
from dify_kernel.graph.pool import Pool
from dify_kernel.registry import Registry
from dify_kernel.testing.fakes import fake_ports

from .figures import show

pytestmark = [pytest.mark.bench, pytest.mark.timeout(300), pytest.mark.usefixtures("server_collector")]

CHAIN, RUNS = 100, 40
FAN, FAN_RUNS, NAP = 20, 30, 0.01
SHORT, MANY = 5, 1000
ROUNDS = 9
LEAST_SHARE, LEAST_TIMES_LANGGRAPH = 0.5, 20.0

REGISTRY, PORTS = Registry(), fake_ports()
FIXED: dict[str, Any] = {"template": "fixed", "variables": []}
RENDERED = {"template": "hello {{ r }}", "variables": [{"variable": "r", "value_selector": ["sys", "x"]}]}


class NapConfig(NodeConfig, kw_only=True):
    """How long."""

    seconds: float = 0.0


class NapNode(Node):
    """An effectful node: it waits, and gives a text."""

    type = "nap"
    Config = NapConfig

    async def run(self, ctx: NodeContext) -> AsyncIterator[Delta]:
        """Sleep."""
        await asyncio.sleep(self.config.seconds)
        yield NodeResult(outputs={"text": "done"})


# -- graphs ----------------------------------------------------------------------------------------------------------


def node(node_id: str, kind: str, **config: Any) -> dict[str, Any]:
    """A node of a graph."""
    return {"id": node_id, "data": {"type": kind, "title": node_id, **config}}


def resolve(kind: str, version: str) -> type[Node]:
    """The installed nodes, and the one that sleeps."""
    return NapNode if kind == "nap" else REGISTRY.node(kind, version)


def planned(nodes: list[dict[str, Any]], edges: list[tuple[str, str]]) -> OutputMap:
    """A graph, compiled."""
    wires = [{"source": source, "target": target} for source, target in edges]
    return OutputMap(compile_plan({"nodes": nodes, "edges": wires}, resolve))


def row(*kinds: tuple[str, dict[str, Any]]) -> OutputMap:
    """start -> these, one after another -> end, which gives what the first of them gave."""
    middle = [node(f"n{at}", kind, **config) for at, (kind, config) in enumerate(kinds)]
    outputs = [{"variable": "out", "value_selector": ["n0", "output"]}]
    nodes = [node("start", "start", variables=[]), *middle, node("end", "end", outputs=outputs)]
    return planned(nodes, list(itertools.pairwise(each["id"] for each in nodes)))


def fan(width: int) -> OutputMap:
    """start -> nodes that sleep side by side -> end, which waits for all of them."""
    naps = [f"nap{at}" for at in range(width)]
    nodes = [node("start", "start", variables=[]), *(node(nap, "nap", seconds=NAP) for nap in naps)]
    return planned(
        [*nodes, node("end", "end", outputs=[])], [pair for nap in naps for pair in (("start", nap), (nap, "end"))]
    )


async def run_once(output_map: OutputMap, number: int, sink: Callable[[Event], None]) -> None:
    """One run, to its end."""
    plan: Plan = output_map.plan
    run = RunInfo(run_id=f"run-{number}", tenant_id="t", app_id="a", workflow_id="w", user_id="u")
    limits = RunLimits(max_steps=10_000)
    engine = Engine(plan, Pool(), run=run, ports=PORTS, sink=sink, run_limits=limits, output_map=output_map)
    assert (await engine.run()).event.status == "succeeded"


async def in_turn(output_map: OutputMap, runs: int) -> None:
    """Runs one after another; the events of each are kept while it lasts."""
    for number in range(runs):
        seen: list[Event] = []
        await run_once(output_map, number, seen.append)
        assert len(seen) >= 2 * len(output_map.plan.nodes) + 2


async def at_once(output_map: OutputMap, runs: int) -> None:
    """All runs at a time, a task each."""

    async def run(number: int) -> None:
        seen: list[Event] = []
        await run_once(output_map, number, seen.append)
        assert len(seen) >= 2 * len(output_map.plan.nodes) + 2

    await asyncio.gather(*(asyncio.create_task(run(number)) for number in range(runs)))


# -- floors ----------------------------------------------------------------------------------------------------------


async def nothing() -> int:
    """A node of the floors."""
    return 1


async def bare_row(count: int) -> None:
    """A task a node, awaited in turn."""
    for _ in range(count):
        await asyncio.create_task(nothing())


async def bare_fans(runs: int) -> None:
    """A task for the start; a task for each of those that sleep, gathered; a task for the end."""
    for _ in range(runs):
        await asyncio.create_task(nothing())
        await asyncio.gather(*(asyncio.create_task(asyncio.sleep(NAP)) for _ in range(FAN)))
        await asyncio.create_task(nothing())


async def bare_at_once(runs: int) -> None:
    """A task a run, in which a task a node is awaited in turn."""
    await asyncio.gather(*(asyncio.create_task(bare_row(SHORT)) for _ in range(runs)))


Work = Callable[[], Awaitable[None]]


async def speeds(count: int, cases: dict[str, Work]) -> dict[str, float]:
    """Nodes a CPU second of each case: the best of several rounds, in which the cases take turns."""
    best = dict.fromkeys(cases, 0.0)
    for _ in range(ROUNDS):
        for name, work in cases.items():
            began = time.process_time()
            await work()
            best[name] = max(best[name], count / (time.process_time() - began))
    return best


def tell(title: str, found: dict[str, float]) -> None:
    """Print what was found; the first is the floor."""
    floor = next(iter(found.values()))
    show(
        title,
        ("", "nodes a CPU second", "us a node", "of floor"),
        [(name, f"{speed:,.0f}", f"{1e6 / speed:.1f}", f"{speed / floor:.2f}") for name, speed in found.items()],
    )


def hold(found: dict[str, float], name: str) -> None:
    """The case reaches its share of the floor."""
    share = found[name] / next(iter(found.values()))
    assert share >= LEAST_SHARE, f"{name}: {share:.2f} of the nodes of the floor a CPU second"


# -- the figures -----------------------------------------------------------------------------------------------------


async def test_a_chain_of_a_hundred_nodes() -> None:
    # A fixed text costs next to nothing, so that what is left is the engine; the others show what a node's work adds.
    plans = {
        "template-transform, fixed text": row(*[("template-transform", FIXED)] * CHAIN),
        "template-transform, rendered": row(*[("template-transform", RENDERED)] * CHAIN),
        "variable-aggregator": row(*[("variable-aggregator", {"output_type": "string", "variables": []})] * CHAIN),
    }
    count = RUNS * (CHAIN + 2)
    cases: dict[str, Work] = {"floor: a task a node, awaited in turn": lambda: bare_row(count)}
    cases |= {name: lambda plan=plan: in_turn(plan, RUNS) for name, plan in plans.items()}  # type: ignore[misc]
    found = await speeds(count, cases)
    tell(f"chain of {CHAIN} pure nodes, two events a node, {RUNS} runs", found)
    hold(found, "template-transform, fixed text")


async def test_twenty_nodes_side_by_side() -> None:
    plan = fan(FAN)
    found = await speeds(
        FAN_RUNS * (FAN + 2),
        {
            "floor: a task a node, the sleeping ones gathered": lambda: bare_fans(FAN_RUNS),
            "effectful nodes": lambda: in_turn(plan, FAN_RUNS),
        },
    )
    tell(f"start, {FAN} effectful nodes of {NAP * 1000:g} ms side by side, end; {FAN_RUNS} runs in turn", found)
    hold(found, "effectful nodes")


async def test_a_thousand_runs_at_a_time() -> None:
    pure = row(*[("template-transform", FIXED)] * 3)
    mixed = row(("template-transform", FIXED), ("nap", {}), ("nap", {}))
    found = await speeds(
        MANY * SHORT,
        {
            "floor: a task a run, in it a task a node": lambda: bare_at_once(MANY),
            "start, three templates, end": lambda: at_once(pure, MANY),
            "start, template, two effectful nodes, end": lambda: at_once(mixed, MANY),
        },
    )
    tell(f"{MANY} runs of {SHORT} nodes at a time, each made, run and ended", found)
    hold(found, "start, three templates, end")


class State(TypedDict):
    """What the nodes of LangGraph share."""

    text: str


async def test_beside_langgraph() -> None:
    graphs = pytest.importorskip("langgraph.graph", reason="langgraph is in the dependency group `bench`")

    async def fixed(_state: State) -> State:
        return {"text": "fixed"}

    builder = graphs.StateGraph(State)
    names = [f"n{at}" for at in range(CHAIN)]
    for name in names:
        builder.add_node(name, fixed)
    for source, target in itertools.pairwise([graphs.START, *names, graphs.END]):
        builder.add_edge(source, target)
    compiled = builder.compile()

    async def stream() -> None:
        for _ in range(RUNS):
            config = {"recursion_limit": 2 * CHAIN}
            updates = [update async for update in compiled.astream({"text": ""}, config, stream_mode="updates")]
            assert len(updates) == CHAIN

    plan = row(*[("template-transform", FIXED)] * CHAIN)
    cases: dict[str, Work] = {
        "LangGraph, a state of one text, updates streamed": stream,
        "template-transform": lambda: in_turn(plan, RUNS),
    }
    found = await speeds(CHAIN * RUNS, cases)
    tell(f"chain of {CHAIN} trivial nodes, {RUNS} runs", found)
    theirs, ours = found.values()
    assert ours >= LEAST_TIMES_LANGGRAPH * theirs, f"{ours / theirs:.1f} times the nodes of LangGraph a CPU second"
