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


def test_notes_and_repeated_edges_are_left_out() -> None:
    note = {"id": "n", "type": "custom-note", "data": {"type": ""}}
    plan = compile_plan({"nodes": [START, note, node("t", "text")], "edges": edges("s > t", "s > t")}, resolve)
    assert [n.id for n in plan.nodes] == ["s", "t"]
    assert len(plan.edges) == 1


def inside(parent: str, id: str, type: str, **data: object) -> dict[str, object]:
    return {**node(id, type, **data), "parentId": parent}


def test_the_nodes_inside_a_container_are_its_body_however_deep() -> None:
    nodes = [
        START,
        node("box", "repeat"),
        inside("box", "b", "inside"),
        inside("box", "inner", "repeat"),
        inside("inner", "i", "inside"),
        node("deep", "text", iteration_id="inner"),
    ]
    plan = compile_plan({"nodes": nodes, "edges": edges("s > box", "b > inner", "i > deep", "s > b")}, resolve)
    box = plan.find("box")
    assert box is not None
    assert box.body is not None
    assert [n.id for n in box.body.nodes] == ["b", "inner"]
    inner = box.body.nodes[1].body
    assert inner is not None
    assert [n.id for n in inner.nodes] == ["i", "deep"]
    assert box.body.inner_ids() == ["b", "inner", "i", "deep"]


def test_a_node_that_names_a_container_that_is_none_stands_outside() -> None:
    nodes = [START, node("t", "text", iteration_id="gone"), {**node("u", "text"), "parentId": "t"}]
    plan = compile_plan({"nodes": nodes, "edges": edges("s > t > u")}, resolve)
    assert [n.id for n in plan.nodes] == ["s", "t", "u"]


def test_an_empty_container_and_one_inside_itself_are_named() -> None:
    nodes = [START, node("box", "repeat"), inside("b", "a", "repeat"), inside("a", "b", "repeat")]
    problems = inspect_graph({"nodes": nodes, "edges": edges("s > box")}, resolve)
    assert ("empty_container", "box") in {(p.code, p.node_id) for p in problems}
    assert any("inside itself" in p.message for p in problems)


def test_problems_inside_a_container_are_reported() -> None:
    parts = [inside("box", "b", "inside"), inside("box", "x", "text"), inside("box", "y", "text")]
    nodes = [START, node("box", "repeat"), *parts]
    problems = inspect_graph({"nodes": nodes, "edges": edges("s > box", "b > x > y > x")}, resolve)
    assert {p.node_id for p in problems if p.code == "cycle"} == {"x", "y"}


@pytest.mark.parametrize(
    "graph", [{}, {"nodes": []}, {"nodes": [node("t", "text")]}, {"nodes": "x"}, {"nodes": [1], "edges": 2}]
)
def test_a_graph_without_a_start_does_not_compile(graph: dict[str, object]) -> None:
    with pytest.raises(InvalidGraph) as caught:
        compile_plan(graph, resolve)
    assert caught.value.problems


@pytest.mark.parametrize("data", [None, [], "text", 3])
def test_a_node_whose_data_is_no_mapping_is_named_once(data: object) -> None:
    graph = {"nodes": [node("s", "begin"), {"id": "b", "data": data}], "edges": edges("s > b")}
    found = inspect_graph(graph, resolve)
    assert [(problem.code, problem.node_id) for problem in found] == [("invalid_node", "b")]
    assert "`data` must be a mapping" in found[0].message
