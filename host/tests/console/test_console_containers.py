"""Containers that are tried alone: the events of their rounds, their records and their values."""

from __future__ import annotations

from typing import Any

import pytest

from ..service.service_house import edge, graph, node
from .console_house import Browser
from .test_console_tries import values


def shouting(kind: str = "iteration", **data: Any) -> dict[str, Any]:
    """start -> a container around one template -> end; the start is unfinished in nothing but its input."""
    inner = (
        {"isInIteration": True, "iteration_id": "each"}
        if kind == "iteration"
        else {"isInLoop": True, "loop_id": "each"}
    )
    item = "item" if kind == "iteration" else "word"
    variables = [{"variable": "x", "value_selector": ["each", item]}]
    body = [
        node("start", "start", variables=[{"variable": "words", "type": "json_object", "required": False}]),
        node("each", kind, start_node_id="eachstart", **data),
        {**node("eachstart", f"{kind}-start", **inner), "parentId": "each"},
        {**node("shout", "template-transform", template="{{ x }}!", variables=variables, **inner), "parentId": "each"},
        node("end", "end", outputs=[]),
    ]
    return graph(*body, edges=[edge("start", "each"), edge("eachstart", "shout"), edge("each", "end")])


ITERATION = {"iterator_selector": ["start", "words"], "output_selector": ["shout", "output"]}
LOOP = {
    "loop_count": 3,
    "break_conditions": [],
    "logical_operator": "and",
    "loop_variables": [
        {"label": "word", "var_type": "string", "value_type": "variable", "value": ["start", "word"]},
    ],
}


@pytest.mark.parametrize("name", ["each.input_selector", "#start.words#"])
async def test_an_iteration_runs_alone_round_by_round(owner: Browser, name: str) -> None:
    app_id = await owner.draft(shouting(**ITERATION))
    path = f"/apps/{app_id}/workflows/draft"
    said = await owner.stream(f"{path}/iteration/nodes/each/run", {"inputs": {name: ["a", "b"]}})
    told = [item["event"] for item in said]
    assert (told[0], told[-1]) == ("workflow_started", "workflow_finished")
    assert told.count("iteration_next") == 2
    (done,) = [item["data"] for item in said if item["event"] == "iteration_completed"]
    assert (done["status"], done["outputs"]) == ("succeeded", {"output": ["a!", "b!"]})
    inner = [item["data"] for item in said if item["event"] == "node_finished" and item["data"]["node_id"] == "shout"]
    assert [item["outputs"]["output"] for item in inner] == ["a!", "b!"]
    assert {item["iteration_id"] for item in inner} == {"each"}
    last = await owner.ok("GET", f"{path}/nodes/each/last-run")
    assert (last["status"], last["outputs"]) == ("succeeded", {"output": ["a!", "b!"]})
    assert values(await owner.ok("GET", f"{path}/nodes/each/variables")) == {"output": ["a!", "b!"]}
    assert (await owner.ok("GET", f"{path}/nodes/shout/variables"))["items"] == []
    assert (await owner.ok("GET", f"/apps/{app_id}/workflow-runs"))["data"] == []


async def test_a_loop_runs_alone(owner: Browser) -> None:
    app_id = await owner.draft(shouting("loop", **LOOP))
    path = f"/apps/{app_id}/workflows/draft"
    said = await owner.stream(f"{path}/loop/nodes/each/run", {"inputs": {"#start.word#": "a"}})
    rounds = [item["data"] for item in said if item["event"] == "node_finished" and item["data"]["node_id"] == "shout"]
    assert [item["outputs"] for item in rounds] == [{"output": "a!"}] * 3
    assert said[-1]["data"]["status"] == "succeeded"
    last = await owner.ok("GET", f"{path}/nodes/each/last-run")
    assert (last["status"], last["outputs"]["loop_round"]) == ("succeeded", 3)


async def test_a_node_inside_is_tried_without_its_container(owner: Browser) -> None:
    app_id = await owner.draft(shouting(**ITERATION))
    path = f"/apps/{app_id}/workflows/draft/nodes/shout/run"
    record = await owner.ok("POST", path, {"inputs": {"#each.item#": "c"}})
    assert record["outputs"] == {"output": "c!"}


async def test_a_container_route_is_for_its_kind_and_names_what_is_missing(owner: Browser) -> None:
    app_id = await owner.draft(shouting(**ITERATION))
    path = f"/apps/{app_id}/workflows/draft"
    wrong = await owner("POST", f"{path}/loop/nodes/each/run", {"inputs": {"#start.words#": ["a"]}})
    assert wrong.status_code == 400
    missing = await owner("POST", f"{path}/iteration/nodes/each/run", {"inputs": {}})
    assert missing.json()["message"] == "Variable key each.input_selector not found in user inputs."
    elsewhere = await owner("POST", f"/apps/{app_id}/advanced-chat/workflows/draft/iteration/nodes/each/run", {})
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (404, "app_not_found")


async def test_a_trace_shows_the_rounds_of_a_container_with_their_nodes(owner: Browser) -> None:
    app_id = await owner.draft(shouting(**{**ITERATION, "iterator_selector": ["sys", "files"]}))
    # A list of its own, as a start node has none: the code gives it.
    body = shouting(**{**ITERATION, "iterator_selector": ["words", "result"]})
    words = node(
        "words", "code", code_language="python3", code="def main():\n    return {'result': ['a', 'b']}\n",
        variables=[], outputs={"result": {"type": "array[string]"}},
    )  # fmt: skip
    body["nodes"].append(words)
    body["edges"] = [edge("start", "words"), edge("words", "each"), *body["edges"][1:]]
    draft = await owner.ok("GET", f"/apps/{app_id}/workflows/draft")
    await owner.save(app_id, body, hash=draft["hash"])
    said = await owner.stream(f"/apps/{app_id}/workflows/draft/run", {"inputs": {}})
    assert said[-1]["data"]["status"] == "succeeded", said[-1]
    path = f"/apps/{app_id}/workflow-runs/{said[0]['workflow_run_id']}"
    trace = await owner.ok("GET", f"{path}/trace")
    (each,) = [item for item in trace["nodes"] if item["node_id"] == "each"]
    assert [[inner["node_id"] for inner in each_round["nodes"]] for each_round in each["rounds"]] == [
        ["shout"],
        ["shout"],
    ]
    for each_round in each["rounds"]:
        assert each["started_ms"] <= each_round["started_ms"]
        assert each_round["started_ms"] + each_round["run_ms"] <= each["started_ms"] + each["run_ms"] + 0.01
    assert [item["node_id"] for item in trace["nodes"]] == ["start", "words", "each", "end"]
