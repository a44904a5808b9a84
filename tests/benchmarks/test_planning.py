"""Planning and running grow with the graph and no faster; a chain of branches plans in no time."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import msgspec
import pytest
from dify_kernel.graph.events import Event
from dify_kernel.graph.output import OutputMap
from dify_kernel.graph.plan import compile_plan
from dify_kernel.registry import Registry

from .figures import show
from .test_engine_speed import FIXED, node, run_once

pytestmark = [pytest.mark.bench, pytest.mark.timeout(300), pytest.mark.usefixtures("server_collector")]

FEW, MANY = 100, 2000
#: Twenty times the nodes may cost this many times as much; what grows with the square would cost four hundred times.
MOST_TIMES = 20.0
#: The graphs of a hundred nodes are as many as make up the large one, each of its own and all kept: one graph again and
#: again would find everything in the processor's cache, which no server's second app does.
EACH = MANY // FEW
DIAMONDS, MOST_PLAN_MS = 60, 10.0
ROUNDS, PAIRS = 7, 25

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


class Cost(msgspec.Struct, frozen=True):
    """What a hundred nodes cost, what two thousand do, and the times between them: CPU seconds, medians."""

    few: float
    many: float
    times: float


async def spent(works: Sequence[Callable[[], Awaitable[object]]]) -> float:
    """CPU seconds of some work; what it gives is kept while it lasts."""
    began = time.process_time()
    kept = [await work() for work in works]
    seconds = time.process_time() - began
    assert len(kept) == len(works)
    return seconds


async def beside(few: Sequence[Callable[[], Awaitable[object]]], many: Callable[[], Awaitable[object]]) -> Cost:
    """The cost of one of the few, on average, beside that of the many: measured in turns, so that both meet the same
    machine, and the median of the pairs.
    """
    pairs = []
    for _ in range(PAIRS):
        pairs.append((await spent(few) / len(few), await spent([many])))
    a, b = (statistics.median(side) for side in zip(*pairs, strict=True))
    return Cost(a, b, statistics.median(many / few for few, many in pairs))


async def plan(graph: Graph, registry: Registry) -> OutputMap:
    """Everything that is made of a graph before its first run."""
    return OutputMap(compile_plan(graph, registry.node))


async def test_two_thousand_nodes_beside_a_hundred() -> None:
    registry = Registry()
    graphs = [*(chain(FEW) for _ in range(EACH)), chain(MANY)]
    maps = [await plan(graph, registry) for graph in graphs]
    seen = 0

    def count(_event: Event) -> None:
        nonlocal seen
        seen += 1

    plans = [partial(plan, graph, registry) for graph in graphs]
    runs = [partial(run_once, each, 1, count) for each in maps]
    figures = {name: await beside(works[:-1], works[-1]) for name, works in {"planning": plans, "run": runs}.items()}
    show(
        f"a chain of {MANY} templates beside one of {FEW}",
        ("", f"{FEW}, CPU ms", f"{MANY}, CPU ms", "times"),
        [(name, f"{c.few * 1000:.2f}", f"{c.many * 1000:.2f}", f"{c.times:.1f}") for name, c in figures.items()]
        + [("budget", "", "", f"{MOST_TIMES:g}")],
    )
    assert seen > PAIRS * 2 * (EACH * FEW + MANY)
    for name, cost in figures.items():
        assert cost.times <= MOST_TIMES, f"{name}: {MANY} nodes cost {cost.times:.1f} times what {FEW} do"


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
