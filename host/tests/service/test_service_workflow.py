"""`/workflows/run` as clients see it: blocking and streaming, versions, failures, stops, history."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from .service_house import CHAT_MODEL, House, Key, edge, graph, names, node

NAME = {"type": "text-input", "variable": "name", "label": "Name", "required": True}
GREET = node(
    "greet",
    "template-transform",
    template="Hello {{ name }}",
    variables=[{"variable": "name", "value_selector": ["start", "name"]}],
)
ECHO = graph(
    node("start", "start", variables=[NAME]),
    GREET,
    node("end", "end", outputs=[{"variable": "text", "value_selector": ["greet", "output"]}]),
)
ASK = graph(
    node("start", "start", variables=[NAME]),
    node("llm", "llm", model=CHAT_MODEL, prompt_template=[{"role": "user", "text": "{{#start.name#}}"}]),
    node("end", "end", outputs=[{"variable": "text", "value_selector": ["llm", "text"]}]),
)
RUN_KEYS = ["id", "workflow_id", "status", "outputs", "error", "elapsed_time", "total_tokens", "total_steps"]


@pytest.fixture
async def echo(house: House) -> Key:
    return await house.app("workflow", ECHO)


async def test_blocking(echo: Key) -> None:
    answer = await echo.wait("/workflows/run", {"inputs": {"name": "Ada"}})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert list(body) == ["task_id", "workflow_run_id", "data"]
    data = body["data"]
    assert list(data) == [*RUN_KEYS, "created_at", "finished_at"]
    assert data["id"] == body["workflow_run_id"]
    assert (data["status"], data["outputs"], data["error"]) == ("succeeded", {"text": "Hello Ada"}, None)
    assert (data["total_tokens"], data["total_steps"]) == (0, 3)
    assert isinstance(data["created_at"], int)
    assert data["created_at"] <= data["finished_at"]
    assert 0 <= data["elapsed_time"] < 60


async def test_an_absent_mode_is_blocking(echo: Key) -> None:
    answer = await echo("POST", "/workflows/run", {"inputs": {"name": "Ada"}, "user": "u"})
    assert answer.json()["data"]["outputs"] == {"text": "Hello Ada"}


async def test_streaming(echo: Key) -> None:
    found = await echo.stream("/workflows/run", {"inputs": {"name": "Ada"}})
    assert [item["event"] for item in found if item["event"] != "text_chunk"] == [
        "workflow_started",
        *["node_started", "node_finished"] * 3,
        "workflow_finished",
    ]
    run_id = found[0]["workflow_run_id"]
    assert all(item["workflow_run_id"] == run_id and item["task_id"] == found[0]["task_id"] for item in found)
    assert not {"conversation_id", "message_id"} & set(found[0])
    started = found[0]["data"]
    assert list(started) == ["id", "workflow_id", "inputs", "created_at"]
    assert started["inputs"]["name"] == "Ada"
    assert {"sys.user_id", "sys.app_id", "sys.workflow_id", "sys.workflow_run_id", "sys.files"} <= set(
        started["inputs"]
    )
    assert started["inputs"]["sys.user_id"] == "abc-123"
    begun = next(item["data"] for item in found if item["event"] == "node_started")
    assert set(begun) == {
        *("id", "node_id", "node_type", "title", "index", "predecessor_node_id", "inputs", "inputs_truncated"),
        *("created_at", "extras", "iteration_id", "loop_id", "agent_strategy"),
    }
    done = [item["data"] for item in found if item["event"] == "node_finished"]
    assert set(done[1]) >= {
        *("id", "node_id", "node_type", "title", "index", "predecessor_node_id", "inputs", "inputs_truncated"),
        *("process_data", "process_data_truncated", "outputs", "outputs_truncated", "status", "error", "elapsed_time"),
        *("execution_metadata", "created_at", "finished_at", "files", "iteration_id", "loop_id"),
    }
    assert [item["node_type"] for item in done] == ["start", "template-transform", "end"]
    assert done[1]["outputs"] == {"output": "Hello Ada"}
    assert done[1]["status"] == "succeeded"
    finished = found[-1]["data"]
    assert list(finished) == [*RUN_KEYS, "created_by", "created_at", "finished_at", "exceptions_count", "files"]
    assert (finished["id"], finished["status"], finished["outputs"]) == (run_id, "succeeded", {"text": "Hello Ada"})
    assert set(finished["created_by"]) == {"id", "user"}
    assert finished["created_by"]["user"] == "abc-123"


async def test_text_streams_as_chunks(house: House) -> None:
    app = await house.app("workflow", ASK)
    found = await app.stream("/workflows/run", {"inputs": {"name": "REPLY:one two three four five"}})
    chunks = [item for item in found if item["event"] == "text_chunk"]
    assert "".join(item["data"]["text"] for item in chunks) == "one two three four five"
    assert len(chunks) > 1
    assert chunks[0]["data"]["from_variable_selector"] == ["llm", "text"]
    finished = found[-1]["data"]
    assert finished["outputs"] == {"text": "one two three four five"}
    assert finished["total_tokens"] > 0


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "name is required in input form"),
        ({"name": 7}, "must be a string"),
    ],
)
async def test_inputs_are_checked_before_anything_runs(echo: Key, inputs: dict[str, Any], message: str) -> None:
    for mode in ("blocking", "streaming"):
        body = {"inputs": inputs, "user": "u", "response_mode": mode}
        answer = await echo("POST", "/workflows/run", body)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_param")
        assert message in answer.json()["message"]


async def test_unknown_inputs_are_left_out(echo: Key) -> None:
    found = await echo.stream("/workflows/run", {"inputs": {"name": "Ada", "other": 1}})
    assert "other" not in found[0]["data"]["inputs"]


async def test_a_failed_run_is_an_answer(house: House) -> None:
    app = await house.app("workflow", ASK)
    answer = await app.wait("/workflows/run", {"inputs": {"name": "FAIL:no such luck"}})
    assert answer.status_code == 200
    data = answer.json()["data"]
    assert data["status"] == "failed"
    assert "no such luck" in data["error"]
    found = await app.stream("/workflows/run", {"inputs": {"name": "FAIL:no such luck"}})
    assert names(found)[-2:] == ["node_finished", "workflow_finished"]
    assert found[-2]["data"]["status"] == "failed"
    assert "no such luck" in found[-2]["data"]["error"]
    assert found[-1]["data"]["status"] == "failed"
    assert "error" not in [item["event"] for item in found]


async def test_versions(house: House, echo: Key) -> None:
    first = (await echo.wait("/workflows/run", {"inputs": {"name": "a"}})).json()["data"]["workflow_id"]
    apps = house.workspace.apps
    draft = await apps.repository.draft_workflow(echo.app_id)
    assert draft is not None
    changed = json.loads(json.dumps(ECHO))
    changed["nodes"][1]["data"]["template"] = "Bye {{ name }}"
    await apps.save_draft(echo.app_id, graph=changed, features={}, account_id=house.owner_id, hash=draft.hash)
    await apps.publish(echo.app_id, house.owner_id)
    house.platform.live_apps.forget(echo.app_id)
    now = (await echo.wait("/workflows/run", {"inputs": {"name": "a"}})).json()["data"]
    assert now["outputs"] == {"text": "Bye a"}
    old = (await echo.wait(f"/workflows/{first}/run", {"inputs": {"name": "a"}})).json()["data"]
    assert (old["workflow_id"], old["outputs"]) == (first, {"text": "Hello a"})
    unknown = await echo.wait(f"/workflows/{uuid.uuid4()}/run", {"inputs": {"name": "a"}})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    for bad in ("latest", draft.id):
        refused = await echo.wait(f"/workflows/{bad}/run", {"inputs": {"name": "a"}})
        assert (refused.status_code, refused.json()["code"]) == (400, "bad_request"), refused.text


async def test_stopping_an_unknown_run_is_no_error(echo: Key) -> None:
    answer = await echo("POST", f"/workflows/tasks/{uuid.uuid4()}/stop", {"user": "u"})
    assert (answer.status_code, answer.json()) == (200, {"result": "success"})


async def test_history(house: House, echo: Key) -> None:
    run = (await echo.wait("/workflows/run", {"inputs": {"name": "Ada"}})).json()["data"]
    shown = (await echo("GET", f"/workflows/run/{run['id']}")).json()
    assert list(shown) == [
        *("id", "workflow_id", "status", "inputs", "outputs", "error", "total_steps", "total_tokens"),
        *("created_at", "finished_at", "elapsed_time"),
    ]
    assert shown["status"] == "succeeded"
    assert json.loads(shown["outputs"]) == {"text": "Hello Ada"}
    assert json.loads(shown["inputs"])["name"] == "Ada"
    unknown = await echo("GET", f"/workflows/run/{uuid.uuid4()}")
    assert unknown.status_code == 200
    assert set(unknown.json().values()) == {None}


async def test_logs(house: House, echo: Key) -> None:
    for user, name in (("u1", "Ada"), ("u2", "Grace"), ("u2", "Alan")):
        await echo.wait("/workflows/run", {"inputs": {"name": name}, "user": user})
    listed = (await echo("GET", "/workflows/logs?limit=2")).json()
    assert list(listed) == ["page", "limit", "total", "has_more", "data"]
    assert (listed["page"], listed["limit"], listed["total"], listed["has_more"]) == (1, 2, 3, True)
    entry = listed["data"][0]
    assert set(entry) == {
        *("id", "workflow_run", "details", "created_from", "created_by_role", "created_by_account"),
        *("created_by_end_user", "created_at"),
    }
    assert (entry["created_from"], entry["created_by_role"], entry["created_by_account"]) == (
        *("service-api", "end_user"),
        None,
    )
    assert entry["created_by_end_user"]["session_id"] == "u2"
    assert set(entry["workflow_run"]) == {
        *("id", "version", "status", "triggered_from", "error", "elapsed_time", "total_tokens", "total_steps"),
        *("created_at", "finished_at", "exceptions_count"),
    }

    async def total(query: str) -> int:
        answer = await echo("GET", f"/workflows/logs?{query}")
        assert answer.status_code == 200, answer.text
        return int(answer.json()["total"])

    assert await total("keyword=Grace") == 1
    assert await total("status=failed") == 0
    assert await total("created_by_end_user_session_id=u2") == 2
    assert await total("created_at__before=2001-01-01T00:00:00Z") == 0
    assert await total("created_at__after=2001-01-01T00:00:00Z") == 3
    assert await total("created_by_account=nobody@example.com") == 0
    refused = await echo("GET", "/workflows/logs?created_at__after=yesterday")
    assert (refused.status_code, refused.json()["params"]) == (400, "created_at__after")


async def test_a_branch(house: House) -> None:
    case = {
        "case_id": "true",
        "logical_operator": "and",
        "conditions": [
            {"id": "c", "varType": "string", "variable_selector": ["start", "name"], "comparison_operator": "is",
             "value": "Ada"}
        ],
    }  # fmt: skip
    app = await house.app(
        "workflow",
        graph(
            node("start", "start", variables=[NAME]),
            node("who", "if-else", cases=[case]),
            node("yes", "end", outputs=[{"variable": "known", "value_selector": ["start", "name"]}]),
            node("no", "end", outputs=[{"variable": "stranger", "value_selector": ["start", "name"]}]),
            edges=[edge("start", "who"), edge("who", "yes", "true"), edge("who", "no", "false")],
        ),
    )
    assert (await app.wait("/workflows/run", {"inputs": {"name": "Ada"}})).json()["data"]["outputs"] == {"known": "Ada"}
    answer = await app.wait("/workflows/run", {"inputs": {"name": "Bob"}})
    assert answer.json()["data"]["outputs"] == {"stranger": "Bob"}
