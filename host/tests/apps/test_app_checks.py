"""What is said of an app before it runs: what is wrong with its graph, and what is not installed."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from typing import Any

import msgspec
import pytest
import yaml
from dify_host.apps.checking import AppChecker
from dify_host.apps.dsl import read
from dify_host.apps.errors import InvalidDsl
from dify_host.apps.fetching import fetch_text, raw_address
from dify_host.apps.needs import find_missing
from dify_host.apps.node_outputs import outputs_of
from dify_host.apps.old_forms.modern import modernised
from dify_host.apps.service import AppService
from dify_host.apps.validation import check_pipeline, check_workflow
from dify_host.apps.yaml_text import MAX_BYTES
from dify_host.db.types import new_id
from dify_kernel.contracts.http import HttpRequest, HttpResponse, HttpStream, HttpTooLarge
from dify_kernel.errors import BadInput, InvalidGraph, TooLarge
from dify_kernel.registry import Registry

from . import sample_apps as sample

ME = new_id()


def wire(source: str, target: str, handle: str = "source") -> dict[str, Any]:
    return {**sample.edge(source, target), "sourceHandle": handle}


def branch(*case_ids: str) -> dict[str, Any]:
    condition = {"variable_selector": ["start", "city"], "comparison_operator": "is", "value": "x"}
    cases = [{"case_id": name, "logical_operator": "and", "conditions": [condition]} for name in case_ids]
    return sample.node("if", "if-else", cases=cases)


def template(node_id: str, owner: str, name: str) -> dict[str, Any]:
    variables = [{"variable": "x", "value_selector": [owner, name]}]
    return sample.node(node_id, "template-transform", template="{{ x }}", variables=variables)


def child(node_id: str, kind: str = "template-transform", **data: Any) -> dict[str, Any]:
    shown = {"template": "x", "variables": []} if kind == "template-transform" else {}
    node = sample.node(node_id, kind, **shown, isInIteration=True, iteration_id="it", **data)
    return {**node, "parentId": "it"}


def iteration(**data: Any) -> dict[str, Any]:
    selectors = {"iterator_selector": ["start", "city"], "output_selector": ["inner", "output"]}
    return sample.node("it", "iteration", **{**selectors, "start_node_id": "itstart", **data})


START_INSIDE = {**sample.node("itstart", "iteration-start"), "parentId": "it"}


def found(
    registry: Registry, nodes: list[dict[str, Any]], edges: list[dict[str, Any]], mode: str = "workflow", **scopes: Any
) -> set[tuple[str, str | None, str]]:
    problems = check_workflow({"nodes": nodes, "edges": edges}, {}, mode, registry, **scopes)
    assert all(problem.message for problem in problems)
    return {(item.code, item.node_id, item.severity) for item in problems}


def test_branches_without_edges_and_edges_without_branches(registry: Registry) -> None:
    nodes = [sample.START, branch("true", "second"), sample.END]
    edges = [wire("start", "if"), wire("if", "end", "true"), wire("if", "end", "third")]
    assert found(registry, nodes, edges) == {
        ("branch_without_edge", "if", "warning"),
        ("unknown_handle", "if", "warning"),
    }
    texts = [item.message for item in check_workflow({"nodes": nodes, "edges": edges}, {}, "workflow", registry)]
    told = [name for name in ("true", "second", "third", "false") if any(f"{name!r}" in text for text in texts)]
    assert told == ["second", "third", "false"]
    complete = [wire("start", "if"), *(wire("if", "end", name) for name in ("true", "second", "false"))]
    assert found(registry, nodes, complete) == set()


def test_an_error_branch_is_a_branch(registry: Registry) -> None:
    caught = sample.node("text", "template-transform", template="x", variables=[], error_strategy="fail-branch")
    nodes = [sample.START, caught, sample.END]
    one = [wire("start", "text"), wire("text", "end")]
    assert found(registry, nodes, one) == {("branch_without_edge", "text", "warning")}
    assert found(registry, nodes, [*one, wire("text", "end", "fail-branch")]) == set()


def test_case_ids_that_are_the_same_are_errors(registry: Registry) -> None:
    edges = [wire("start", "if"), wire("if", "end", "true"), wire("if", "end", "false")]
    assert ("invalid_node", "if", "error") in found(registry, [sample.START, branch("true", "true"), sample.END], edges)


@pytest.mark.parametrize("operator", ["resembles", "=="])
def test_an_operator_that_there_is_not_is_an_error(registry: Registry, operator: str) -> None:
    node = branch("true")
    node["data"]["cases"][0]["conditions"] = [
        {"variable_selector": ["start", "city"], "comparison_operator": operator, "value": "x"}
    ]
    edges = [wire("start", "if"), wire("if", "end", "true"), wire("if", "end", "false")]
    assert ("invalid_node", "if", "error") in found(registry, [sample.START, node, sample.END], edges)


@pytest.mark.parametrize(
    ("owner", "name", "wrong"),
    [
        ("start", "city", False),
        ("start", "town", True),
        ("ghost", "text", True),
        ("env", "LIMIT", False),
        ("env", "OTHER", True),
        ("conversation", "seen", False),
        ("conversation", "other", True),
        ("sys", "user_id", False),
        ("sys", "query", True),
        ("first", "output", False),
        ("first", "text", True),
    ],
)
def test_references_to_what_does_not_exist(registry: Registry, owner: str, name: str, wrong: bool) -> None:
    body = read(sample.text("workflow")).dsl.workflow
    assert body is not None
    nodes = [sample.START, template("first", "start", "city"), template("x", owner, name), sample.END]
    edges = [wire("start", "first"), wire("first", "x"), wire("x", "end")]
    scopes = {"environment": body.environment_variables, "conversation": body.conversation_variables}
    expected = {("missing_variable", "x", "warning")} if wrong else set()
    assert found(registry, nodes, edges, **scopes) == expected


def test_a_node_that_nothing_reaches_still_has_its_references_checked(registry: Registry) -> None:
    nodes = [sample.START, sample.END, template("alone", "ghost", "text")]
    assert found(registry, nodes, [wire("start", "end")]) == {
        ("unreachable_node", "alone", "warning"),
        ("missing_variable", "alone", "warning"),
    }


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({}, None),
        ({"output_selector": ["it", "item"]}, None),
        ({"output_selector": ["start", "city"]}, "missing_output"),
        ({"output_selector": []}, "missing_output"),
        ({"start_node_id": "start"}, "missing_start"),
    ],
)
def test_what_an_iteration_needs(registry: Registry, data: dict[str, Any], code: str | None) -> None:
    nodes = [sample.START, iteration(**data), START_INSIDE, child("inner"), sample.END]
    edges = [wire("start", "it"), wire("it", "end"), wire("itstart", "inner")]
    errors = {item for item in found(registry, nodes, edges) if item[2] == "error"}
    assert ((code, "it", "error") in errors) if code else not errors


def test_an_empty_container_is_an_error(registry: Registry) -> None:
    nodes = [sample.START, iteration(start_node_id=""), sample.END]
    edges = [wire("start", "it"), wire("it", "end")]
    assert ("empty_container", "it", "error") in found(registry, nodes, edges)


def test_walls_of_containers(registry: Registry) -> None:
    nodes = [sample.START, iteration(), START_INSIDE, child("inner"), template("outer", "inner", "output"), sample.END]
    lost = {**child("lost"), "parentId": "nowhere"}
    lost["data"] = {**lost["data"], "iteration_id": "nowhere"}
    edges = [wire("start", "it"), wire("itstart", "inner"), wire("it", "outer"), wire("outer", "end")]
    told = found(registry, [*nodes, lost], [*edges, wire("inner", "end")])
    assert {
        ("missing_variable", "outer", "warning"),
        ("crossing_edge", "inner", "warning"),
        ("missing_container", "lost", "warning"),
    } <= told


@pytest.mark.parametrize(
    ("mode", "last", "code"),
    [
        ("workflow", sample.ANSWER, "answer_in_workflow"),
        ("advanced-chat", sample.END, "end_in_advanced-chat"),
        ("workflow", sample.node("t", "template-transform", template="x", variables=[]), "no_end"),
        ("advanced-chat", sample.node("t", "template-transform", template="x", variables=[]), "no_answer"),
    ],
)
def test_apps_end_with_what_their_mode_has(registry: Registry, mode: str, last: dict[str, Any], code: str) -> None:
    assert code in {item[0] for item in found(registry, [sample.START, last], [wire("start", last["id"])], mode)}


def test_nodes_without_a_model_ask_the_default(registry: Registry) -> None:
    chosen = {"provider": "openai", "name": "m", "mode": "chat", "completion_params": {}}
    prompt = [{"role": "user", "text": "x"}]
    nodes = [
        sample.START,
        sample.node("a", "llm", model=chosen, prompt_template=prompt),
        sample.node("b", "llm", model={**chosen, "name": ""}, prompt_template=prompt),
        sample.node("d", "llm", model={**chosen, "provider": ""}, prompt_template=prompt),
        sample.node("c", "agent", agent_strategy_name="", agent_parameters={"model": {"value": None}}),
        sample.END,
    ]
    told = found(registry, nodes, sample.graph(*nodes)["edges"])
    assert {item for item in told if item[0] != "unknown_node"} == {
        ("default_model", "b", "warning"),
        ("default_model", "c", "warning"),
        ("model_missing", "d", "warning"),
        ("missing_strategy", "c", "error"),
    }


@pytest.mark.parametrize(
    ("data", "names"),
    [
        ({"type": "start", "variables": [{"variable": "a"}]}, {"a"}),
        ({"type": "code", "outputs": {"n": {"type": "number"}}}, {"n"}),
        ({"type": "code", "outputs": None, "error_strategy": "fail-branch"}, {"error_message", "error_type"}),
        ({"type": "loop", "loop_variables": [{"label": "n"}]}, {"n", "loop_round", "index"}),
        ({"type": "variable-aggregator"}, {"output"}),
        (
            {
                "type": "variable-aggregator",
                "advanced_settings": {"group_enabled": True, "groups": [{"group_name": "g"}]},
            },
            {"g"},
        ),
        ({"type": "teleport"}, None),
    ],
)
def test_outputs_are_told_from_the_data(data: dict[str, Any], names: set[str] | None) -> None:
    assert outputs_of(data) == names


# -- what is not installed -----------------------------------------------------------------------------------


def test_what_is_missing_is_named_with_its_distribution(registry: Registry) -> None:
    model = {"provider": "somebody/far_away/far_away", "name": "m", "mode": "chat", "completion_params": {}}
    tools = [
        {"provider_name": "x/y/pager", "type": "builtin", "enabled": True},
        {"provider_name": "x/y/off", "enabled": False},
    ]
    parameters = {"model": {"value": model}, "tools": {"value": tools}}
    nodes = [
        sample.node("tele", "teleport"),
        sample.node("ask", "llm", model=model),
        sample.node("again", "llm", model=model),
        sample.node("own", "llm", model={**model, "provider": "langgenius/openai/openai"}),
        sample.node("agent", "agent", agent_parameters=parameters),
        sample.node("call", "tool", provider_id="x/y/siren", provider_type="builtin"),
        sample.node("time", "tool", provider_id="langgenius/time/time", provider_type="builtin"),
        sample.node("api", "tool", provider_id=new_id(), provider_type="api"),
        sample.node(
            "kb",
            "knowledge-retrieval",
            retrieval_mode="multiple",
            multiple_retrieval_config={"reranking_enable": True, "reranking_model": {"provider": "ranker"}},
        ),
    ]
    listed = [
        {"type": "marketplace", "value": {"marketplace_plugin_unique_identifier": f"{name}:1@ff"}}
        for name in ("somebody/far_away", "langgenius/openai", "other/thing")
    ]
    missing = find_missing({"nodes": nodes}, {}, listed, registry)
    shown = {(item.kind, item.name): (item.distribution, item.node_ids) for item in missing}
    shown.pop(("node", "agent"), None)  # whether it is installed is not the point
    assert shown == {
        ("node", "teleport"): ("dify-nodes-teleport", ["tele"]),
        ("provider", "far_away"): ("dify-providers-far-away", ["ask", "again", "agent"]),
        ("provider", "ranker"): ("dify-providers-ranker", ["kb"]),
        ("tool", "pager"): ("dify-tools-pager", ["agent"]),
        ("tool", "siren"): ("dify-tools-siren", ["call"]),
        ("plugin", "other/thing"): ("", []),
    }


def test_a_configuration_names_what_it_needs(registry: Registry) -> None:
    config = {
        "model": {"provider": "far_away", "name": "m"},
        "agent_mode": {"enabled": True, "tools": [{"provider_id": "siren", "provider_type": "builtin"}]},
        "dataset_configs": {"reranking_model": {"reranking_provider_name": "ranker"}},
    }
    missing = find_missing({}, config, [], registry)
    assert {(item.kind, item.name) for item in missing} == {
        ("provider", "far_away"),
        ("provider", "ranker"),
        ("tool", "siren"),
    }
    assert find_missing({}, {"model": {}, "agent_mode": {"tools": ["x"]}}, [], registry) == []


async def test_a_provider_that_is_missing_keeps_a_workflow_a_draft(quick: AppService) -> None:
    model = {"provider": "far_away", "name": "m", "mode": "chat", "completion_params": {}}
    text = sample.workflow_text(
        sample.START,
        sample.node("ask", "llm", model=model, prompt_template=[{"role": "user", "text": "x"}]),
        sample.END,
    )
    result = await quick.import_dsl(text, account_id=ME)
    assert [(item.kind, item.name) for item in result.missing] == [("provider", "far_away")]
    assert ("missing_provider", "ask") in [(item.code, item.node_id) for item in result.warnings]
    assert await quick.missing(str(result.app_id)) == result.missing
    with pytest.raises(InvalidGraph, match="dify-providers-far-away"):
        await quick.publish(str(result.app_id), ME)


# -- knowledge pipelines -------------------------------------------------------------------------------------


def pipeline(*nodes: dict[str, Any], **more: Any) -> str:
    document = {
        "version": "0.5.0",
        "kind": "rag_pipeline",
        "rag_pipeline": {"name": "Papers", "icon_type": "emoji", "icon": "📚"},
        "workflow": {"graph": sample.graph(*nodes)},
        **more,
    }
    return str(yaml.safe_dump(document))


SOURCE = sample.node("files", "datasource", provider_type="local_file", datasource_name="upload-file")
INDEX = sample.node(
    "index",
    "knowledge-index",
    chunk_structure="text_model",
    indexing_technique="economy",
    index_chunk_variable_selector=["files", "file"],
    keyword_number=10,
    retrieval_model={"search_method": "keyword_search", "top_k": 3, "score_threshold_enabled": False},
)


async def test_a_knowledge_pipeline_is_read_and_checked_and_is_no_app(quick: AppService) -> None:
    check = await quick.check(pipeline(SOURCE, INDEX))
    assert (check.kind, check.name, check.mode, check.importable) == ("rag_pipeline", "Papers", "rag-pipeline", True)
    assert check.valid, check.problems
    assert not (await quick.check(pipeline(SOURCE))).importable
    with pytest.raises(InvalidDsl, match="Missing app data"):
        await quick.import_dsl(pipeline(SOURCE, INDEX), account_id=ME)
    with pytest.raises(InvalidDsl, match="Missing rag_pipeline"):
        await quick.check(pipeline(SOURCE, rag_pipeline=None))
    nameless = {"graph": sample.graph(SOURCE, INDEX), "rag_pipeline_variables": [{"variable": "x"}]}
    with pytest.raises(InvalidDsl, match="belong_to_node_id"):
        await quick.check(pipeline(SOURCE, INDEX, workflow=nameless))


def test_what_is_wrong_with_a_pipeline_is_told(registry: Registry) -> None:
    assert [item.code for item in check_pipeline({}, registry)] == ["empty_graph"]
    codes = {item.code for item in check_pipeline(sample.graph(sample.START, sample.END), registry)}
    assert {"missing_source", "missing_index"} <= codes
    second = {**SOURCE, "id": "pages"}
    graph = sample.graph(SOURCE, INDEX)
    both = {"nodes": [*graph["nodes"], second], "edges": [*graph["edges"], wire("pages", "index")]}
    assert not [item for item in check_pipeline(both, registry) if item.code == "unreachable_node"]


# -- texts ---------------------------------------------------------------------------------------------------


def test_a_check_tells_old_forms_and_problems(registry: Registry) -> None:
    checker = AppChecker(registry)
    old = checker.check(read("app: {mode: workflow, name: x}\nworkflow: {graph: {nodes: null}}"))
    assert [change.code for change in old.changes] == ["version", "kind", "null-lists"]
    assert (old.valid, old.importable, old.mode, old.version) == (True, True, "workflow", "0.1.0")
    broken = checker.check(read(sample.workflow_text(sample.START, sample.node("x", "end", outputs="all"))))
    assert not broken.valid
    assert msgspec.json.decode(msgspec.json.encode(broken))["problems"][0]["node_id"] == "x"
    with pytest.raises(InvalidDsl, match="no DSL version"):
        checker.check(read(sample.text("chat", version="soon")))


MANY = 5000


def in_one_id() -> list[dict[str, Any]]:
    return [{"id": "a", "data": {"type": "start", "title": "", "n": index}} for index in range(MANY)]


def saying_inside() -> list[dict[str, Any]]:
    return [{"id": f"n{index}", "data": {"type": "code", "isInLoop": True}} for index in range(MANY)]


def unknown() -> list[dict[str, Any]]:
    return [{"id": f"n{index}", "data": {"type": f"if-els{index}"}} for index in range(MANY)]


def sources() -> list[dict[str, Any]]:
    return [{"id": f"n{index}", "data": {"type": "datasource"}} for index in range(MANY // 4)]


def starved() -> list[dict[str, Any]]:
    model = {"provider": "far_away", "name": "m"}
    return [{"id": f"n{index}", "data": {"type": "llm", "model": model}} for index in range(MANY)]


@pytest.mark.parametrize("nodes", [in_one_id, saying_inside, unknown, sources, starved], ids=lambda made: made.__name__)
def test_large_graphs_are_checked_soon(registry: Registry, nodes: Callable[[], list[dict[str, Any]]]) -> None:
    made = nodes()
    edges = [wire(left["id"], right["id"]) for left, right in pairwise(made)]
    document = {"kind": "app", "version": "0.5.0", "workflow": {"graph": {"nodes": made, "edges": edges}}}
    started = time.process_time()
    graph = modernised(document)[0]["workflow"]["graph"]
    assert check_workflow(graph, {}, "workflow", registry)
    assert check_pipeline(graph, registry)
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("https://github.com/a/b/blob/main/x/y.yml", "https://raw.githubusercontent.com/a/b/main/x/y.yml"),
        ("https://github.com/a/b/blob/v1/y.yaml?plain=1#L3", "https://raw.githubusercontent.com/a/b/v1/y.yaml"),
        ("https://github.com/a/b/blob/main/y.json", "https://github.com/a/b/blob/main/y.json"),
        ("https://example.org/github.com/a/b/blob/main/y.yml", "https://example.org/github.com/a/b/blob/main/y.yml"),
        (" http://example.org/y.yml\n", "http://example.org/y.yml"),
    ],
)
def test_the_page_of_a_file_leads_to_the_file(given: str, asked: str) -> None:
    assert raw_address(given) == asked


class Answering:
    """A client that answers everything alike."""

    def __init__(self, answer: Callable[[HttpRequest], HttpResponse]) -> None:
        self.asked: list[HttpRequest] = []
        self._answer = answer

    async def send(self, request: HttpRequest) -> HttpResponse:
        self.asked.append(request)
        return self._answer(request)

    def stream(self, request: HttpRequest) -> AsyncIterator[HttpStream]:
        raise NotImplementedError


def too_large(request: HttpRequest) -> HttpResponse:
    raise HttpTooLarge(f"more than {request.max_bytes}")


async def test_a_text_is_fetched_with_limits() -> None:
    page = "https://github.com/a/b/blob/main/y.yml"
    client: Any = Answering(lambda request: HttpResponse(status=200, headers=[], content=b"a: 1"))
    assert await fetch_text(client, page) == "a: 1"
    (request,) = client.asked
    assert (request.url, request.follow_redirects, request.max_bytes) == (raw_address(page), True, MAX_BYTES)
    assert (request.timeout.connect, request.timeout.read) == (10.0, 10.0)
    gone: Any = Answering(lambda request: HttpResponse(status=404, headers=[], content=b""))
    with pytest.raises(BadInput, match="status 404"):
        await fetch_text(gone, page)
    image: Any = Answering(lambda request: HttpResponse(status=200, headers=[], content=b"\x89PNG"))
    with pytest.raises(InvalidDsl, match="no UTF-8 text"):
        await fetch_text(image, page)
    with pytest.raises(TooLarge, match=str(MAX_BYTES)):
        await fetch_text(Answering(too_large), page)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="no address"):
        await fetch_text(client, "file:///etc/passwd")
    assert len(client.asked) == 1
