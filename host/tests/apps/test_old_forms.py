"""Each old form of an export, and what it becomes; forms of today stay as they are."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from dify_host.apps.dsl import parse
from dify_host.apps.old_forms import canvas, conditions, configurations, containers, documents, node_data
from dify_host.apps.old_forms.modern import ALL_RULES, modernised
from dify_host.apps.yaml_text import read_yaml, write_yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from . import sample_apps as sample
from .hand_forms import HAND_CASES

Change = Callable[[dict[str, Any]], dict[str, Any]]
CONDITION = {"variable_selector": ["a", "b"], "comparison_operator": "is", "value": "x"}
UPLOAD = {"enabled": True, "allowed_file_types": ["image"], "allowed_file_extensions": []}


def features(upload: Any) -> dict[str, Any]:
    return {"workflow": {"features": {"file_upload": upload}}}


def tool(**data: Any) -> dict[str, Any]:
    return {"type": "tool", "provider_type": "builtin", "tool_parameters": {}, "tool_configurations": {}, **data}


#: A change, an old form, and the form of today.
CASES: list[tuple[Change, dict[str, Any], dict[str, Any]]] = [
    (documents.text_version, {}, {"version": "0.1.0"}),
    (documents.text_version, {"version": 0.3}, {"version": "0.3.0"}),
    (documents.text_version, {"version": 1}, {"version": "1.0.0"}),
    (documents.kind_of_today, {}, {"kind": "app"}),
    (documents.kind_of_today, {"kind": "application"}, {"kind": "app"}),
    (documents.kind_of_today, {"rag_pipeline": {"name": "p"}}, {"rag_pipeline": {"name": "p"}, "kind": "rag_pipeline"}),
    (
        documents.viewport_in_graph,
        {"workflow": {"viewport": {"x": 1}, "graph": {"nodes": []}}},
        {"workflow": {"graph": {"nodes": [], "viewport": {"x": 1}}}},
    ),
    (
        documents.lifted_images,
        features({"image": {"enabled": True, "number_limits": 2, "transfer_methods": ["remote_url"]}}),
        features({**UPLOAD, "allowed_file_upload_methods": ["remote_url"], "number_limits": 2}),
    ),
    (
        documents.lifted_images,
        features({"image": {"enabled": True}, "enabled": True, "allowed_file_types": ["document"]}),
        features(
            {
                **UPLOAD,
                "allowed_file_types": ["document"],
                "allowed_file_upload_methods": ["local_file", "remote_url"],
                "number_limits": 3,
            }
        ),
    ),
    (canvas.lists_of_today, {"nodes": None, "edges": None}, {"nodes": [], "edges": []}),
    (
        canvas.text_ids,
        {
            "nodes": [
                {"id": 17, "data": {"start_node_id": 18, "output_selector": [18, "text"], "sizes": [1, 2]}},
                {"id": 18, "parentId": 17, "data": {"iteration_id": 17, "variables": [[17, "item"]]}},
            ],
            "edges": [{"id": 1, "source": 17, "target": 18, "sourceHandle": 3}],
        },
        {
            "nodes": [
                {"id": "17", "data": {"start_node_id": "18", "output_selector": ["18", "text"], "sizes": [1, 2]}},
                {"id": "18", "parentId": "17", "data": {"iteration_id": "17", "variables": [["17", "item"]]}},
            ],
            "edges": [{"id": "1", "source": "17", "target": "18", "sourceHandle": "3"}],
        },
    ),
    (
        canvas.plain_handles,
        {"edges": [{"source": "a"}, {"sourceHandle": True}, {"sourceHandle": "success-branch", "targetHandle": "t"}]},
        {
            "edges": [
                {"source": "a", "sourceHandle": "source", "targetHandle": "target"},
                {"sourceHandle": "true", "targetHandle": "target"},
                {"sourceHandle": "source", "targetHandle": "t"},
            ]
        },
    ),
    (
        canvas.type_in_data,
        {
            "nodes": [
                {"type": "if_else", "data": {}},
                {"type": "custom", "data": {"type": "http_request"}},
                {"type": "custom-loop-start", "data": {}},
                {"type": "llm", "data": {"type": "llm"}},
            ]
        },
        {
            "nodes": [
                {"type": "custom", "data": {"type": "if-else"}},
                {"type": "custom", "data": {"type": "http-request"}},
                {"type": "custom-loop-start", "data": {"type": "loop-start"}},
                {"type": "custom", "data": {"type": "llm"}},
            ]
        },
    ),
    (
        canvas.without_repeated_edges,
        {"edges": [{"id": "1", "source": "a", "target": "b"}, {"id": "2", "source": "a", "target": "b"}]},
        {"edges": [{"id": "1", "source": "a", "target": "b"}]},
    ),
    (
        canvas.without_repeated_nodes,
        {"nodes": [{"id": "a", "data": {"n": 1}}, {"id": "a", "data": {"n": 1}, "selected": True}]},
        {"nodes": [{"id": "a", "data": {"n": 1}}]},
    ),
    (
        conditions.cases_of_today,
        {"conditions": [CONDITION], "logical_operator": "or"},
        {"cases": [{"case_id": "true", "logical_operator": "or", "conditions": [CONDITION]}]},
    ),
    (
        conditions.cases_of_today,
        {"conditions": [{"id": "c1", "logical_operator": "and", "conditions": [CONDITION]}]},
        {"cases": [{"case_id": "c1", "logical_operator": "and", "conditions": [CONDITION]}]},
    ),
    (
        conditions.cases_of_today,
        {"cases": [{"case_id": "true"}], "conditions": [], "logical_operator": "and"},
        {"cases": [{"case_id": "true"}]},
    ),
    (
        conditions.text_case_ids,
        {"cases": [{}, {"id": "second"}, {"case_id": 3}, {"case_id": False}]},
        {"cases": [{"case_id": "true"}, {"id": "second", "case_id": "second"}, {"case_id": "3"}, {"case_id": "false"}]},
    ),
    (
        conditions.operators_of_today,
        {"cases": [{"conditions": [{"comparison_operator": "is empty"}]}]},
        {"cases": [{"conditions": [{"comparison_operator": "empty"}]}]},
    ),
    (
        conditions.operators_of_today,
        {"break_conditions": [{"sub_variable_condition": {"conditions": [{"comparison_operator": ">="}]}}]},
        {"break_conditions": [{"sub_variable_condition": {"conditions": [{"comparison_operator": "≥"}]}}]},
    ),
    *(
        (
            conditions.operators_of_today,
            {"cases": [{"conditions": [{**told, "comparison_operator": written}]}]},
            {"cases": [{"conditions": [{**told, "comparison_operator": meant}]}]},
        )
        for told, written, meant in [
            ({}, "==", "is"),
            ({"value": "x"}, "not_equals", "is not"),
            ({"value": 5}, "==", "="),
            ({"varType": "number", "value": "5"}, "!=", "≠"),
            ({"value": True}, "equals", "is"),
            ({}, "Contains", "contains"),
            ({}, "is_not_empty", "not empty"),
            ({}, "startsWith", "start with"),
            ({}, "greater than", ">"),
        ]
    ),
    (
        conditions.logical_operators,
        {"cases": [{"logical_operator": None}, {"logical_operator": "OR"}, {}]},
        {"cases": [{"logical_operator": "and"}, {"logical_operator": "or"}, {}]},
    ),
    *HAND_CASES,
    (
        conditions.class_ids,
        {"classes": [{"name": "x"}, {"id": 7, "name": "y"}, {"id": "z"}]},
        {"classes": [{"name": "x", "id": "1"}, {"id": "7", "name": "y"}, {"id": "z"}]},
    ),
    (
        conditions.the_instruction,
        {"instructions": "Be kind", "instruction": ""},
        {"instructions": "Be kind", "instruction": "Be kind"},
    ),
    (
        node_data.lists_of_today,
        {"variables": None, "classes": None, "memory": None},
        {"variables": [], "classes": [], "memory": None},
    ),
    (
        node_data.form_lists,
        {"variables": [{"variable": "a", "options": None}]},
        {"variables": [{"variable": "a", "options": [], "label": "a"}]},
    ),
    (
        node_data.aggregator_of_today,
        {"type": "variable-assigner", "variables": [["a", "b"]]},
        {"type": "variable-aggregator", "variables": [["a", "b"]]},
    ),
    (
        node_data.aggregator_of_today,
        {
            "type": "variable-assigner",
            "output_type": "object",
            "variables": [{"variable": "seen", "write_mode": "append", "variable_selector": ["a", "b"]}],
        },
        {
            "type": "assigner",
            "version": "2",
            "items": [
                {
                    "variable_selector": ["conversation", "seen"],
                    "input_type": "variable",
                    "operation": "append",
                    "value": ["a", "b"],
                }
            ],
        },
    ),
    (
        node_data.assigner_actions,
        {
            "actions": [
                {"operation": "set", "variable_selector": ["conversation", "a"], "value": "{{#n.b.c#}}"},
                {"operation": "append", "variable_selector": ["conversation", "a"], "value": "{{#n.b#}}"},
                {"operation": "set", "variable_selector": ["conversation", "a"], "value": "so {{#n.b#}}"},
            ]
        },
        {
            "version": "2",
            "items": [
                {
                    "operation": "over-write",
                    "variable_selector": ["conversation", "a"],
                    "input_type": "variable",
                    "value": ["n", "b", "c"],
                },
                {
                    "operation": "append",
                    "variable_selector": ["conversation", "a"],
                    "input_type": "variable",
                    "value": ["n", "b"],
                },
                {
                    "input_type": "constant",
                    "operation": "set",
                    "variable_selector": ["conversation", "a"],
                    "value": "so {{#n.b#}}",
                },
            ],
        },
    ),
    (node_data.assigner_version, {"items": []}, {"items": [], "version": "2"}),
    (node_data.body_items, {}, {"body": {"type": "none", "data": []}}),
    (
        node_data.body_items,
        {"body": {"type": "json", "data": '{"a": 1}'}},
        {"body": {"type": "json", "data": [{"key": "", "type": "text", "value": '{"a": 1}'}]}},
    ),
    (
        node_data.body_items,
        {"body": {"type": "form-data", "data": "a: 1\n\nb:x:y"}},
        {
            "body": {
                "type": "form-data",
                "data": [{"key": "a", "type": "text", "value": "1"}, {"key": "b", "type": "text", "value": "x:y"}],
            }
        },
    ),
    (node_data.body_items, {"body": {"type": "none", "data": ""}}, {"body": {"type": "none", "data": []}}),
    (
        node_data.tool_values,
        tool(
            tool_parameters={
                "q": "{{#a.b#}}",
                "n": 3,
                "f": {"type": "selector", "selector": ["a", "b"]},
                "s": {"type": "static", "value": "x"},
            },
            tool_configurations={"limit": 5},
        ),
        tool(
            tool_parameters={
                "q": {"type": "mixed", "value": "{{#a.b#}}"},
                "n": {"type": "constant", "value": 3},
                "f": {"type": "variable", "value": ["a", "b"]},
                "s": {"type": "constant", "value": "x"},
            },
            tool_configurations={"limit": {"type": "constant", "value": 5}},
            tool_node_version="2",
        ),
    ),
    (node_data.memory_of_today, {"memory": {"enabled": False}}, {"memory": None}),
    (
        node_data.memory_of_today,
        {"memory": {"enabled": True, "window_size": 5}},
        {"memory": {"enabled": True, "window_size": 5, "window": {"enabled": True, "size": 5}}},
    ),
    (node_data.chat_mode, {"model": {"name": "m"}}, {"model": {"name": "m", "mode": "chat"}}),
    (
        node_data.boolean_parameters,
        {"parameters": [{"type": "bool"}, {"type": "select"}]},
        {"parameters": [{"type": "boolean"}, {"type": "select"}]},
    ),
    (
        configurations.model_of_today,
        {"model": {"name": "m", "completion_params": {"stop": "END"}}},
        {"model": {"name": "m", "mode": "chat", "completion_params": {"stop": ["END"]}}},
    ),
    (
        configurations.datasets_of_today,
        {"agent_mode": {"enabled": True, "tools": [{"dataset": {"id": "d1"}}, {"tool_name": "t"}]}},
        {
            "agent_mode": {"enabled": True, "tools": [{"tool_name": "t"}]},
            "dataset_configs": {
                "retrieval_model": "multiple",
                "datasets": {"strategy": "router", "datasets": [{"dataset": {"enabled": True, "id": "d1"}}]},
            },
        },
    ),
    (
        configurations.without_router,
        {"agent_mode": {"enabled": True, "strategy": "router", "tools": []}},
        {"agent_mode": {"enabled": False, "strategy": "router", "tools": []}},
    ),
]


@pytest.mark.parametrize(("change", "old", "new"), CASES, ids=[case[0].__name__ for case in CASES])
def test_an_old_form_becomes_that_of_today(change: Change, old: dict[str, Any], new: dict[str, Any]) -> None:
    before = copy.deepcopy(old)
    assert change(old) == new
    assert old == before, "what was given is not written into"
    assert change(new) is new, "what is of today stays as it is"


def test_every_change_has_an_example() -> None:
    graph_wide = {containers.named_containers, containers.with_start_nodes}
    assert {rule.apply for rule in ALL_RULES} - {case[0] for case in CASES} == graph_wide
    assert len({rule.message for rule in ALL_RULES}) == len(ALL_RULES)


def container(kind: str = "iteration", **data: Any) -> dict[str, Any]:
    return sample.node("loop", kind, iterator_selector=["start", "items"], **data)


def inside(node_id: str, **data: Any) -> dict[str, Any]:
    return sample.node(node_id, "code", **data)


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ("iteration", {"parentId": "loop"}),
        ("iteration", {"data": {"iteration_id": "loop"}}),
        ("loop", {"data": {"loop_id": "loop", "isInIteration": False}}),
        ("loop", {"data": {"isInLoop": True}}),
    ],
)
def test_nodes_name_their_container_on_the_canvas_and_in_their_data(kind: str, named: dict[str, Any]) -> None:
    child = inside("child", **named.get("data", {})) | {key: value for key, value in named.items() if key != "data"}
    new = containers.named_containers({"nodes": [container(kind), child], "edges": []})
    found = new["nodes"][1]
    flag, key = ("isInIteration", "iteration_id") if kind == "iteration" else ("isInLoop", "loop_id")
    assert (found["parentId"], found["data"][flag], found["data"][key]) == ("loop", True, "loop")
    assert containers.named_containers(new) is new


def test_of_several_containers_edges_tell_whose_a_node_is() -> None:
    first, second = container(start_node_id="a"), {**container(start_node_id="c"), "id": "second"}
    nodes = [first, second, *(inside(name, isInIteration=True) for name in "abcd")]
    edges = [sample.edge("b", "d"), sample.edge("a", "b")]
    new = containers.named_containers({"nodes": nodes, "edges": edges})
    assert [containers.container_of(node) for node in new["nodes"][2:]] == ["loop", "loop", "second", "loop"]


def test_a_container_gets_a_start_node() -> None:
    nodes = [container(start_node_id="a"), *({**inside(name), "parentId": "loop"} for name in "ab")]
    new = containers.with_start_nodes({"nodes": nodes, "edges": [sample.edge("a", "b")]})
    start, added = new["nodes"][-1], new["edges"][-1]
    assert new["nodes"][0]["data"]["start_node_id"] == start["id"] == "loopstart"
    assert (start["type"], start["parentId"], start["data"]["type"]) == (
        *("custom-iteration-start", "loop"),
        "iteration-start",
    )
    assert (added["source"], added["target"], added["sourceHandle"]) == ("loopstart", "a", "source")
    assert containers.with_start_nodes(new) is new


@pytest.mark.parametrize("named", [{}, {"start_node_id": ""}, {"start_node_id": "gone"}])
def test_a_container_without_a_start_begins_at_its_only_root(named: dict[str, Any]) -> None:
    nodes = [container("loop", **named), *({**inside(name), "parentId": "loop"} for name in "ab")]
    graph = {"nodes": nodes, "edges": [sample.edge("a", "b")]}
    assert containers.with_start_nodes(graph)["edges"][-1]["target"] == "a"
    both = {**graph, "edges": []}
    assert containers.with_start_nodes(both) is both, "of two that may be meant none is chosen"


def test_a_container_takes_the_start_node_that_is_there() -> None:
    start = {**sample.node("s", "loop-start"), "parentId": "loop"}
    new = containers.with_start_nodes({"nodes": [container("loop"), start], "edges": []})
    assert [node["data"].get("start_node_id") for node in new["nodes"]] == ["s", None]


def test_a_whole_export_of_an_early_version() -> None:
    text = """
    app: {mode: workflow, name: Old}
    workflow:
      graph:
        nodes:
        - {id: 1, data: {type: start, title: S, variables: [{variable: x, type: number, options: null}]}}
        - id: 2
          data: {type: if-else, title: I, logical_operator: and, conditions: [
            {variable_selector: [1, x], comparison_operator: '≥', value: '3'}]}
        - {id: 3, data: {type: variable-assigner, title: V, variables: [[1, x]]}}
        - {id: 4, data: {type: end, title: E, outputs: [{variable: x, value_selector: [3, output]}]}}
        edges:
        - {source: 1, target: 2}
        - {source: 2, target: 3, sourceHandle: true}
        - {source: 2, target: 3, sourceHandle: true}
        - {source: 2, target: 4, sourceHandle: false}
        - {source: 3, target: 4}
    """
    app = parse(text)
    assert (app.version, app.kind) == ("0.1.0", "app")
    graph = app.workflow.graph if app.workflow else {}
    assert [node["data"]["type"] for node in graph["nodes"]] == ["start", "if-else", "variable-aggregator", "end"]
    assert [(edge["source"], edge["sourceHandle"], edge["target"]) for edge in graph["edges"]] == [
        ("1", "source", "2"),
        ("2", "true", "3"),
        ("2", "false", "4"),
        ("3", "source", "4"),
    ]
    assert modernised(read_yaml(write_yaml({"kind": "app", "version": "0.1.0", "workflow": {"graph": graph}})))[1] == []


def test_the_forms_of_today_stay() -> None:
    for mode in ("workflow", "advanced-chat", "chat", "agent-chat", "completion"):
        document = sample.document(mode)
        assert modernised(document) == (document, [])


@pytest.mark.parametrize(
    "wrap",
    [
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace(": ", ":\t"),
        lambda text: "---\n# made by hand\n" + text,
        lambda text: ("\ufeff" + text).encode(),
    ],
    ids=["mark", "line-ends", "tabs", "comment", "bytes"],
)
def test_other_ways_to_write_the_same_text(wrap: Callable[[str], str]) -> None:
    text = "app: {mode: workflow, name: x}\nkind: app\nversion: '0.5.0'\nworkflow:\n  graph:\n    nodes: []\n"
    assert parse(wrap(text)) == parse(text)


names = st.sampled_from(["a", "b", "start", "loop", "", 3, None])
kinds = st.sampled_from(
    ["start", "iteration", "loop", "if-else", "if_else", "tool", "http-request", "llm", "code", None, 4]
)
junk = st.recursive(
    st.none() | st.booleans() | st.integers(0, 4) | names,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["cases", "conditions", "data", "id", "variables", "body", "type", "value"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)
_PARTS = (
    "body",
    "classes",
    "memory",
    "model",
    "headers",
    "authorization",
    "outputs",
    "code_language",
    "prompt_template",
)
data = st.fixed_dictionaries({"type": kinds}, optional=dict.fromkeys(("cases", "conditions", "start_node_id"), junk))
more = st.fixed_dictionaries({"type": kinds}, optional=dict.fromkeys(_PARTS, junk))
canvas_nodes = st.fixed_dictionaries({"id": names, "data": data | more | junk}, optional={"parentId": names | junk})
edges = st.fixed_dictionaries({"source": names, "target": names}, optional={"sourceHandle": junk})
graphs = st.fixed_dictionaries({"nodes": st.lists(canvas_nodes | junk, max_size=5) | junk, "edges": st.lists(edges)})


@given(graphs)
@settings(deadline=None, max_examples=300)
def test_any_graph_is_changed_once_and_not_written_into(graph: dict[str, Any]) -> None:
    document = {"kind": "app", "version": "0.5.0", "workflow": {"graph": graph}}
    before = copy.deepcopy(document)
    new, _ = modernised(document)
    assert document == before
    assert modernised(new) == (new, [])
