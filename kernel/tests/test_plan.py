"""Compiling a graph: every problem is reported, with its node id, and nothing runs that should not."""

from __future__ import annotations

import pytest
from dify_kernel.errors import InvalidGraph
from dify_kernel.graph.plan import compile_plan, inspect_graph
from dify_kernel.testing.graph import edges, node, resolve

START = node("s", "begin")


def problems(nodes: object, links: object) -> set[tuple[str, str | None]]:
    return {(p.code, p.node_id) for p in inspect_graph({"nodes": nodes, "edges": links}, resolve)}


def test_every_problem_is_reported_not_only_the_first() -> None:
    found = problems(
        [
            START,
            node("u", "no-such-type"),
            node("b", "stream", pieces=7),
            node("b2", "text", error_strategy="hope"),
            node("s", "text"),
        ],
        [*edges("s > u > b > b2"), {"source": "s", "target": "ghost"}],
    )
    assert found == {
        ("unknown_node", "u"),
        ("invalid_node", "b"),
        ("invalid_node", "b2"),
        ("duplicate_node", "s"),
        ("missing_node", "s"),
    }


def test_a_cycle_names_the_nodes_on_it_and_no_others() -> None:
    found = problems(
        [START, node("a", "text"), node("b", "text"), node("after", "text")], edges("s > a > b > a", "b > after")
    )
    assert found == {("cycle", "a"), ("cycle", "b")}


def test_unreachable_nodes_and_unknown_variables_are_warnings() -> None:
    plan = compile_plan(
        {
            "nodes": [START, node("lost", "text"), node("t", "text", text="{{#nobody.x#}} {{#sys.query#}}")],
            "edges": edges("s > t", "lost > t"),
        },
        resolve,
    )
    assert {(w.code, w.node_id) for w in plan.warnings} == {("unreachable_node", "lost"), ("missing_variable", "t")}
    assert [n.id for n in plan.nodes] == ["s", "t"]


def test_notes_children_of_containers_and_repeated_edges_are_left_out() -> None:
    note = {"id": "n", "type": "custom-note", "data": {"type": ""}}
    child = {"id": "c", "parentId": "box", "data": {"type": "anything"}}
    plan = compile_plan(
        {"nodes": [START, note, child, node("t", "text")], "edges": edges("s > t", "s > t", "s > c")}, resolve
    )
    assert [n.id for n in plan.nodes] == ["s", "t"]
    assert len(plan.edges) == 1


@pytest.mark.parametrize(
    "graph", [{}, {"nodes": []}, {"nodes": [node("t", "text")]}, {"nodes": "x"}, {"nodes": [1], "edges": 2}]
)
def test_a_graph_without_a_start_does_not_compile(graph: dict[str, object]) -> None:
    with pytest.raises(InvalidGraph) as caught:
        compile_plan(graph, resolve)
    assert caught.value.problems
