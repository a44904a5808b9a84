"""What the engine costs a node: a chain of real nodes (template-transform) with events, beside a bare loop of tasks."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any

import pytest
from dify_kernel.contracts.node import RunInfo
from dify_kernel.graph.engine import Engine, RunLimits
from dify_kernel.graph.events import Event
from dify_kernel.graph.output import OutputMap
from dify_kernel.graph.plan import compile_plan
from dify_kernel.graph.pool import Pool
from dify_kernel.registry import Registry
from dify_kernel.testing.fakes import fake_ports

from .figures import show

pytestmark = [pytest.mark.bench, pytest.mark.timeout(300)]

CHAIN, RUNS, ROUNDS = 100, 40, 5
LEAST_SHARE = 0.5


def chain(kind: str, config: dict[str, Any]) -> dict[str, Any]:
    """start -> a hundred nodes of one kind -> end."""
    nodes = [{"id": "start", "data": {"type": "start", "title": "start", "variables": []}}]
    nodes += [{"id": f"n{at}", "data": {"type": kind, "title": f"n{at}", **config}} for at in range(CHAIN)]
    nodes.append({"id": "end", "data": {"type": "end", "title": "end", "outputs": []}})
    ids = [node["id"] for node in nodes]
    edges = [{"source": source, "target": target} for source, target in itertools.pairwise(ids)]
    return {"nodes": nodes, "edges": edges}


async def bare(count: int) -> None:
    """The floor: a task a node, awaited in turn."""

    async def node() -> int:
        return 1

    for _ in range(count):
        await asyncio.create_task(node())


async def engine_seconds(graph: dict[str, Any]) -> float:
    """CPU seconds of the runs of one compiled graph, events handed to a sink."""
    plan = compile_plan(graph, Registry().node)
    output_map, limits = OutputMap(plan), RunLimits(max_steps=1000)
    seen: list[Event] = []
    began = time.process_time()
    for number in range(RUNS):
        seen.clear()
        run = RunInfo(run_id=f"run-{number}", tenant_id="t", app_id="a", workflow_id="w", user_id="u")
        engine = Engine(
            plan, Pool(), run=run, ports=fake_ports(), sink=seen.append, run_limits=limits, output_map=output_map
        )
        outcome = await engine.run()
        assert outcome.event.status == "succeeded"
        assert len(seen) == 2 * (CHAIN + 2) + 2
    return time.process_time() - began


async def test_a_chain_of_a_hundred_nodes() -> None:
    # The first is what is asserted: a fixed text costs next to nothing, so that what is left is the engine. The
    # rendered one shows what the template engine adds.
    text = {"template": "fixed", "variables": []}
    rendered = {"template": "hello {{ r }}", "variables": [{"variable": "r", "value_selector": ["sys", "x"]}]}
    kinds: dict[str, tuple[str, dict[str, Any]]] = {
        "template-transform, fixed text": ("template-transform", text),
        "template-transform, rendered": ("template-transform", rendered),
        "variable-aggregator": ("variable-aggregator", {"output_type": "string", "variables": []}),
    }
    count = RUNS * (CHAIN + 2)
    best = dict.fromkeys(("bare", *kinds), 0.0)
    for _ in range(ROUNDS):
        began = time.process_time()
        await bare(count)
        best["bare"] = max(best["bare"], count / (time.process_time() - began))
        for name, (kind, config) in kinds.items():
            best[name] = max(best[name], count / await engine_seconds(chain(kind, config)))
    show(
        f"chain of {CHAIN} nodes, two events a node, {RUNS} runs",
        ("", "nodes a CPU second", "us a node", "of floor"),
        [(kind, f"{speed:,.0f}", f"{1e6 / speed:.1f}", f"{speed / best['bare']:.2f}") for kind, speed in best.items()],
    )
    share = best["template-transform, fixed text"] / best["bare"]
    assert share >= LEAST_SHARE, f"the engine runs {share:.2f} of the nodes of a bare loop of tasks a CPU second"
