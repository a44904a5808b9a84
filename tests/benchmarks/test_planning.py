"""Planning and running grow with the graph and no faster; a chain of branches plans in no time."""

from __future__ import annotations

import itertools
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from dify_kernel.graph.events import Event
from dify_kernel.graph.output import OutputMap
from dify_kernel.graph.plan import compile_plan
from dify_kernel.registry import Registry

from .figures import show
from .test_engine_speed import FIXED, node, run_once

pytestmark = [pytest.mark.bench, pytest.mark.timeout(300), pytest.mark.usefixtures("server_collector")]

FEW, MANY = 100, 2000
#: Twenty times the nodes may cost this many times as much: a hundred find their memory warm, two thousand take fresh.
#: What grows with the square would cost four hundred times.
MOST_TIMES = 30.0
DIAMONDS, MOST_PLAN_MS = 60, 10.0
ROUNDS = 7

Graph = dict[str, Any]


def edge(source: str, target: str, handle: str = "source") -> dict[str, str]:
    """An edge as the DSL has it."""
    return {"source": source, "target": target, "sourceHandle": handle}


def chain(length: int) -> Graph:
    """start -> so many templates -> end, which gives the last of them."""
    ids = [f"n{at}" for at in range(length)]
    outputs = [{"variable": "out", "value_selector": [ids[-1], "output"]}]
    nodes = [node("start", "start", variables=[]), *(node(each, "template-transform", **FIXED) for each in ids)]
    nodes.append(node("end", "end", outputs=outputs))
    row = ["start", *ids, "end"]
    return {"nodes": nodes, "edges": [edge(source, target) for source, target in itertools.pairwise(row)]}


def diamonds(count: int) -> Graph:
    """start -> so many diamonds, each an if-else whose ways meet again -> an answer that shows both ways of each."""
    nodes, edges, last = [node("start", "start", variables=[])], [], "start"
    condition = {"variable_selector": ["sys", "x"], "comparison_operator": "is", "value": "1"}
    for at in range(count):
        case = {"case_id": "true", "logical_operator": "and", "conditions": [{"id": "c", **condition}]}
        names = (f"if{at}", f"yes{at}", f"no{at}", f"met{at}")
        nodes.append(node(names[0], "if-else", cases=[case]))
        nodes += [node(name, "template-transform", **FIXED) for name in names[1:]]
        edges += [edge(last, names[0]), edge(names[0], names[1], "true"), edge(names[0], names[2], "false")]
        edges += [edge(names[1], names[3]), edge(names[2], names[3])]
        last = names[3]
    shown = "".join(f"{{{{#yes{at}.output#}}}}{{{{#no{at}.output#}}}}" for at in range(count))
    nodes.append(node("answer", "answer", answer=shown))
    return {"nodes": nodes, "edges": [*edges, edge(last, "answer")]}


async def cheapest(work: Callable[[], Awaitable[object]]) -> float:
    """CPU seconds of something, the least of several rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        await work()
        best = min(best, time.process_time() - began)
    return best


async def plan(graph: Graph, registry: Registry) -> OutputMap:
    """Everything that is made of a graph before its first run."""
    return OutputMap(compile_plan(graph, registry.node))


async def test_two_thousand_nodes_beside_a_hundred() -> None:
    registry = Registry()
    few, many = chain(FEW), chain(MANY)
    maps = [await plan(few, registry), await plan(many, registry)]
    seen = 0

    def count(_event: Event) -> None:
        nonlocal seen
        seen += 1

    figures = {
        "planning": [await cheapest(partial(plan, graph, registry)) for graph in (few, many)],
        "a whole run": [await cheapest(partial(run_once, each, 1, count)) for each in maps],
    }
    show(
        f"a chain of {MANY} templates beside one of {FEW}",
        ("", f"{FEW}, CPU ms", f"{MANY}, CPU ms", "times"),
        [(name, f"{a * 1000:.2f}", f"{b * 1000:.2f}", f"{b / a:.1f}") for name, (a, b) in figures.items()]
        + [("budget", "", "", f"{MOST_TIMES:g}")],
    )
    assert seen > ROUNDS * 2 * (FEW + MANY)
    for name, (a, b) in figures.items():
        assert b / a <= MOST_TIMES, f"{name}: {MANY} nodes cost {b / a:.1f} times what {FEW} do"


async def test_sixty_diamonds() -> None:
    registry = Registry()
    graphs = {count: diamonds(count) for count in (DIAMONDS // 2, DIAMONDS)}
    await plan(graphs[DIAMONDS], registry)
    found = {count: await cheapest(partial(plan, graph, registry)) * 1000 for count, graph in graphs.items()}
    show(
        "chained if-else diamonds, and an answer that shows both ways of each: compile and output map",
        ("diamonds", "nodes", "paths", "CPU ms"),
        [(str(count), str(4 * count + 2), f"{2**count:.0e}", f"{ms:.2f}") for count, ms in found.items()]
        + [("budget", "", "", f"{MOST_PLAN_MS:g}")],
    )
    assert found[DIAMONDS] < MOST_PLAN_MS, f"{DIAMONDS} diamonds are planned in {found[DIAMONDS]:.1f} ms"
