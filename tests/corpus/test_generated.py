"""Any app that can be written goes out and comes in as the same plan."""

from __future__ import annotations

from typing import Any

import yaml
from dify_host.apps.dsl import dump, read
from dify_host.apps.sharing import export_graph, import_graph
from dify_kernel.registry import Registry
from hypothesis import given, settings
from hypothesis import strategies as st

from .shapes import shape_of

TENANT = "0196b4a8-0000-7000-8000-000000000001"
REGISTRY = Registry()

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
names = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
selectors = st.tuples(st.sampled_from(["n0", "n1", "n2", "n3", "sys", "env", "conversation", "ghost"]), names).map(list)
conditions = st.fixed_dictionaries(
    {
        "variable_selector": selectors,
        "comparison_operator": st.sampled_from(["is", "contains", "empty", "≥", "resembles"]),
        "value": texts | st.booleans() | st.lists(texts, max_size=2) | st.none(),
    }
)
cases = st.fixed_dictionaries(
    {
        "case_id": st.sampled_from(["true", "second", "third"]),
        "logical_operator": st.sampled_from(["and", "or"]),
        "conditions": st.lists(conditions, max_size=2),
    }
)
bodies: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "template-transform": st.fixed_dictionaries({"template": texts, "variables": st.just([])}),
    "if-else": st.fixed_dictionaries({"cases": st.lists(cases, max_size=2)}),
    "code": st.fixed_dictionaries(
        {"code": texts, "code_language": st.just("python3"), "variables": st.just([]), "outputs": st.just({})}
    ),
    "variable-aggregator": st.fixed_dictionaries({"variables": st.lists(selectors, max_size=2)}),
    "end": st.fixed_dictionaries(
        {
            "outputs": st.lists(
                st.fixed_dictionaries({"variable": names, "value_selector": selectors}),
                max_size=2,
                unique_by=lambda item: item["variable"],
            )
        }
    ),
    "teleport": st.dictionaries(names, texts, max_size=2),
    "iteration": st.fixed_dictionaries(
        {"iterator_selector": selectors, "output_selector": selectors, "start_node_id": st.sampled_from(["", "n2"])}
    ),
}
kinds = st.sampled_from(sorted(bodies))
errors = st.fixed_dictionaries(
    {},
    optional={
        "error_strategy": st.sampled_from(["fail-branch", "default-value"]),
        "default_value": st.just([{"key": "a", "type": "number", "value": "3"}]),
        "desc": texts,
    },
)


@st.composite
def nodes(draw: st.DrawFn, node_id: str) -> dict[str, Any]:
    kind = draw(kinds)
    node = {
        "id": node_id,
        "type": "custom",
        "data": {"type": kind, "title": draw(texts), **draw(bodies[kind]), **draw(errors)},
    }
    if draw(st.integers(0, 3)) == 0:
        node["parentId"] = draw(st.sampled_from(["n1", "n2", "gone"]))
    return node


@st.composite
def apps(draw: st.DrawFn) -> dict[str, Any]:
    start = {"id": "n0", "type": "custom", "data": {"type": "start", "title": "", "variables": []}}
    count = draw(st.integers(0, 5))
    made = [start, *(draw(nodes(f"n{index}")) for index in range(1, count + 1))]
    ends = st.sampled_from([node["id"] for node in made])
    handles = st.sampled_from(["source", "true", "false", "fail-branch"])
    edges = draw(st.lists(st.fixed_dictionaries({"source": ends, "target": ends, "sourceHandle": handles}), max_size=8))
    variables = [
        {"name": name, "value_type": "string", "value": draw(texts)} for name in draw(st.sets(names, max_size=2))
    ]
    return {
        "app": {"mode": draw(st.sampled_from(["workflow", "advanced-chat"])), "name": draw(texts)},
        "kind": "app",
        "version": "0.5.0",
        "workflow": {
            "graph": {"nodes": made, "edges": edges},
            "features": {"opening_statement": draw(texts)},
            "environment_variables": variables,
        },
    }


@given(apps())
@settings(deadline=None, max_examples=150)
def test_an_app_goes_out_and_comes_in_as_the_same_plan(document: dict[str, Any]) -> None:
    first = read(yaml.safe_dump(document, allow_unicode=True)).dsl
    written = dump(first)
    second = read(written)
    assert second.changes == [], "what is written has the form of today"
    assert second.dsl == first
    assert dump(second.dsl) == written
    graph = first.workflow.graph if first.workflow else {}
    shared = export_graph(graph, TENANT, include_secret=False, encrypt_datasets=True)
    own, _ = import_graph(shared, TENANT)
    assert shape_of(own, REGISTRY) == shape_of(graph, REGISTRY)
