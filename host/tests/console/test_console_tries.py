"""Drafts that are tried: whole runs as streams, single nodes, and the values that both leave for the next try."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from dify_host.db.types import utc_now
from dify_host.platform import Platform
from dify_host.runs.tables import workflow_run_leases

from ..service.service_house import House, Workshop, answers_with, edge, graph, names, node
from ..service.test_service_annotations import switch, write
from .console_house import Browser, greeting

COUNT = {"name": "count", "value_type": "number", "value": 3}


def values(listed: dict[str, Any]) -> dict[str, Any]:
    """Name -> value of a list of variables."""
    return {item["name"]: item["value"] for item in listed["items"]}


def failing() -> dict[str, Any]:
    """start -> code that raises -> end."""
    return graph(
        node("start", "start", variables=[]),
        node(
            "code", "code", code_language="python3", code="def main():\n    raise ValueError('boom')\n",
            variables=[], outputs={"result": {"type": "string"}},
        ),
        node("end", "end", outputs=[{"variable": "text", "value_selector": ["code", "result"]}]),
    )  # fmt: skip


async def test_a_draft_runs_as_a_stream_and_leaves_its_values(owner: Browser) -> None:
    app_id = await owner.draft(greeting())
    path = f"/apps/{app_id}/workflows/draft"
    said = await owner.stream(f"{path}/run", {"inputs": {"name": "Ada"}})
    assert names(said)[0] == "workflow_started"
    assert said[-1]["event"] == "workflow_finished"
    done = said[-1]["data"]
    assert (done["status"], done["outputs"]) == ("succeeded", {"text": "Hello Ada"})
    account = await owner.ok("GET", "/account/profile")
    assert done["created_by"] == {key: account[key] for key in ("id", "name", "email")}
    # Nobody waits for them: whoever saw the end finds them.
    assert values(await owner.ok("GET", f"{path}/nodes/greet/variables")) == {"output": "Hello Ada"}
    assert values(await owner.ok("GET", f"{path}/nodes/start/variables")) == {"name": "Ada"}
    system = values(await owner.ok("GET", f"{path}/system-variables"))
    assert (system["user_id"], system["app_id"], system["files"]) == (account["id"], app_id, [])
    listed = await owner.ok("GET", f"{path}/variables?limit=100")
    assert listed["total"] == len(listed["items"]) == len(("name", "output", "text")) + len(system)
    assert all("value" not in item for item in listed["items"])
    missing = await owner("POST", f"{path}/run", {"inputs": {}})
    assert (missing.status_code, missing.json()["params"]) == (400, "name")


async def test_a_chat_draft_keeps_its_conversation_and_writes_to_it(owner: Browser, workshop: Workshop) -> None:
    body = graph(
        node("start", "start", variables=[]),
        node(
            "add", "assigner", version="2",
            items=[
                {
                    "variable_selector": ["conversation", "count"], "input_type": "constant",
                    "operation": "+=", "value": 4,
                }
            ],
        ),
        node("answer", "answer", answer="{{#sys.query#}} {{#conversation.count#}}"),
    )  # fmt: skip
    app_id = await owner.draft(body, "advanced-chat", conversation_variables=[COUNT])
    path = f"/apps/{app_id}/advanced-chat/workflows/draft/run"
    said = await owner.stream(path, {"query": "now", "inputs": {}})
    assert "".join(item["answer"] for item in said if item["event"] == "message") == "now 7"
    assert said[-1]["event"] == "message_end"
    variables = f"/apps/{app_id}/workflows/draft/conversation-variables"
    assert values(await owner.ok("GET", variables)) == {"count": 7}
    again = await owner.stream(path, {"query": "then", "inputs": {}, "conversation_id": said[0]["conversation_id"]})
    assert "".join(item["answer"] for item in again if item["event"] == "message") == "then 11"
    (run, *_) = (await owner.ok("GET", f"/apps/{app_id}/advanced-chat/workflow-runs"))["data"]
    assert (run["conversation_id"], run["message_id"]) == (again[0]["conversation_id"], again[0]["message_id"])


async def test_a_chat_draft_is_moderated_and_answered_by_annotations(owner: Browser, house: House) -> None:
    sides = {"inputs_config": {"enabled": True, "preset_response": "Not here."}}
    sides["outputs_config"] = {"enabled": True, "preset_response": "Not that."}
    words = {"enabled": True, "type": "keywords", "config": {**sides, "keywords": "badger\nwolf"}}
    body = graph(
        node("start", "start", variables=[]),
        node("turn", "template-transform", template="{{ q | reverse }}", variables=[
            {"variable": "q", "value_selector": ["sys", "query"]}
        ]),
        node("answer", "answer", answer="{{#turn.output#}}"),
    )  # fmt: skip
    features = {"sensitive_word_avoidance": words, "opening_statement": "Hello"}
    app_id = await owner.draft(body, "advanced-chat", features=features)
    path = f"/apps/{app_id}/advanced-chat/workflows/draft/run"
    said = await owner.stream(path, {"query": "a wolf", "inputs": {}})
    assert [(item["event"], item.get("answer")) for item in said] == [("message", "Not here."), ("message_end", None)]
    said = await owner.stream(path, {"query": "regdab", "inputs": {}})
    assert names(said)[-3:] == ["workflow_finished", "message_replace", "message_end"]
    assert said[-2]["answer"] == said[-3]["data"]["outputs"]["answer"] == "Not that."
    fine = await owner.stream(path, {"query": "xof", "inputs": {}})
    assert "".join(item["answer"] for item in fine if item["event"] == "message") == "fox"
    assert names(fine)[-2:] == ["workflow_finished", "message_end"]
    key = await house.key_of(app_id)
    await write(key, "What costs a fox?", "Nothing.")
    await switch(house, key)
    known = await owner.stream(path, {"query": "What costs a fox?", "inputs": {}})
    assert [item.get("answer") for item in known] == ["Nothing.", None]
    assert known[-1]["metadata"]["annotation_reply"]["account"]["name"]


async def test_a_conversation_variable_begins_with_what_it_was_declared_with(owner: Browser) -> None:
    app_id = await owner.draft(answers_with(), "advanced-chat", conversation_variables=[COUNT])
    path = f"/apps/{app_id}/workflows/draft"
    (found,) = (await owner.ok("GET", f"{path}/conversation-variables"))["items"]
    assert (found["type"], found["value"], found["edited"]) == ("conversation", 3, False)
    changed = await owner.ok("PATCH", f"{path}/variables/{found['id']}", {"value": 8})
    assert (changed["value"], changed["edited"]) == (8, True)
    back = await owner.ok("PUT", f"{path}/variables/{found['id']}/reset")
    assert (back["value"], back["edited"]) == (3, False)


async def test_a_run_is_stopped(owner: Browser, editor: Browser) -> None:
    body = graph(
        node("start", "start", variables=[]),
        node(
            "code",
            "code",
            code_language="python3",
            code="def main():\n    while True: pass\n",
            variables=[],
            outputs={},
        ),
        node("end", "end", outputs=[]),
    )
    app_id = await owner.draft(body)
    trying = asyncio.create_task(owner.stream(f"/apps/{app_id}/workflows/draft/run", {"inputs": {}}))
    async with asyncio.timeout(10):
        while not (running := (await editor.ok("GET", f"/apps/{app_id}/workflow-runs?status=running"))["data"]):
            await asyncio.sleep(0.01)
    await editor.ok("POST", f"/apps/{app_id}/workflow-runs/tasks/{running[0]['id']}/stop")
    said = await trying
    assert (said[-1]["event"], said[-1]["data"]["status"]) == ("workflow_finished", "stopped")


async def test_a_draft_whose_process_is_lost_leaves_its_values_from_where_it_goes_on(
    owner: Browser, platform: Platform, env: dict[str, str]
) -> None:
    app_id = await owner.draft(answers_with("DELAY:400 REPLY:at last"), "advanced-chat")
    trying = asyncio.create_task(
        owner.stream(f"/apps/{app_id}/advanced-chat/workflows/draft/run", {"inputs": {"word": "x"}, "query": "x"})
    )
    leases = workflow_run_leases
    async with asyncio.timeout(10):
        while not await platform.recovery._lost():
            await asyncio.sleep(0.01)
            async with platform.db.write() as conn:
                await conn.execute(leases.update().values(expires_at=utc_now() - timedelta(days=1)))
    for keeping in platform.draft_runs._tasks:  # what watched the run here is gone with the process
        keeping.cancel()
    async with Platform.opened(env, role="api") as other:
        assert await other.recovery.sweep() == 1
        assert (await trying)[-1]["event"] == "message_end"  # the client has followed it there
        await other.draft_runs.close()
    kept = values(await owner.ok("GET", f"/apps/{app_id}/workflows/draft/nodes/llm/variables"))
    assert kept["text"] == "at last"


@pytest.mark.parametrize("name", ["name", "greet.name", "#start.name#", "greet.#start.name#"])
async def test_a_node_runs_alone_with_what_is_sent_by_any_of_its_names(owner: Browser, name: str) -> None:
    app_id = await owner.draft(greeting())
    path = f"/apps/{app_id}/workflows/draft/nodes/greet"
    record = await owner.ok("POST", f"{path}/run", {"inputs": {name: "Bo"}})
    assert (record["status"], record["outputs"], record["inputs"]) == (
        "succeeded",
        {"output": "Hello Bo"},
        {"name": "Bo"},
    )
    assert (record["index"], record["node_id"], record["node_type"]) == (1, "greet", "template-transform")
    assert record["created_by_account"]["email"] == owner.email
    assert await owner.ok("GET", f"{path}/last-run") == record
    assert values(await owner.ok("GET", f"{path}/variables")) == {"output": "Hello Bo"}
    assert (await owner.ok("GET", f"/apps/{app_id}/workflow-runs"))["data"] == []


async def test_what_is_not_sent_comes_from_the_last_run_or_is_named(owner: Browser) -> None:
    app_id = await owner.draft(greeting())
    path = f"/apps/{app_id}/workflows/draft"
    missing = await owner("POST", f"{path}/nodes/greet/run", {"inputs": {}})
    assert missing.status_code == 400
    assert missing.json()["message"] == "Variable key greet.name not found in user inputs."
    assert (await owner("GET", f"{path}/nodes/greet/last-run")).status_code == 404
    started = await owner.ok("POST", f"{path}/nodes/start/run", {"inputs": {"name": "Cy"}})
    assert started["outputs"]["name"] == "Cy"
    record = await owner.ok("POST", f"{path}/nodes/greet/run", {"inputs": {}})
    assert record["outputs"] == {"output": "Hello Cy"}
    unknown = await owner("POST", f"{path}/nodes/gone/run", {"inputs": {}})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")


async def test_the_rest_of_a_draft_may_be_unfinished(owner: Browser) -> None:
    body = greeting()
    body["nodes"].append(node("broken", "no-such-type"))
    body["edges"].append(edge("greet", "broken"))
    app_id = await owner.draft(body)
    record = await owner.ok("POST", f"/apps/{app_id}/workflows/draft/nodes/greet/run", {"inputs": {"name": "Di"}})
    assert record["outputs"] == {"output": "Hello Di"}
    broken = await owner("POST", f"/apps/{app_id}/workflows/draft/nodes/broken/run", {"inputs": {}})
    assert {item["node_id"] for item in broken.json()["problems"]} == {"broken"}


async def test_a_node_that_fails_alone_is_a_record_and_no_error(owner: Browser) -> None:
    app_id = await owner.draft(failing())
    path = f"/apps/{app_id}/workflows/draft/nodes/code"
    record = await owner.ok("POST", f"{path}/run", {"inputs": {}})
    assert record["status"] == "failed"
    assert "boom" in record["error"]
    assert (await owner.ok("GET", f"{path}/variables"))["items"] == []


async def test_a_model_is_asked_alone_and_the_record_has_its_tokens_and_price(owner: Browser) -> None:
    app_id = await owner.draft(answers_with("Say {{#start.word#}}"), "advanced-chat")
    path = f"/apps/{app_id}/workflows/draft/nodes/llm/run"
    record = await owner.ok("POST", path, {"inputs": {"#start.word#": "ping"}, "query": "x"})
    assert record["status"] == "succeeded", record
    assert record["outputs"]["text"]
    metadata = record["execution_metadata"]
    assert metadata["total_tokens"] > 0
    assert metadata["currency"] == "USD"


async def test_variables_are_changed_put_back_and_forgotten(owner: Browser) -> None:
    app_id = await owner.draft(greeting())
    path = f"/apps/{app_id}/workflows/draft"
    await owner.stream(f"{path}/run", {"inputs": {"name": "Ada"}})
    (found,) = (await owner.ok("GET", f"{path}/nodes/start/variables"))["items"]
    one = f"{path}/variables/{found['id']}"
    assert (await owner.ok("GET", one)) == found
    wrong = await owner("PATCH", one, {"value": {"not": "a text"}})
    assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid_param")
    changed = await owner.ok("PATCH", one, {"value": "Eve"})
    assert (changed["value"], changed["edited"]) == ("Eve", True)
    record = await owner.ok("POST", f"{path}/nodes/greet/run", {"inputs": {}})
    assert record["outputs"] == {"output": "Hello Eve"}
    back = await owner.ok("PUT", f"{one}/reset")
    assert (back["value"], back["edited"]) == ("Ada", False)
    system = (await owner.ok("GET", f"{path}/system-variables"))["items"]
    fixed = next(item for item in system if item["name"] == "user_id")
    assert (await owner("PATCH", f"{path}/variables/{fixed['id']}", {"value": "x"})).status_code == 400
    await owner.ok("DELETE", one, status=204)
    assert (await owner("GET", one)).status_code == 404
    assert (await owner("DELETE", one)).status_code == 404
    await owner.ok("DELETE", f"{path}/nodes/greet/variables", status=204)
    assert (await owner.ok("GET", f"{path}/nodes/greet/variables"))["items"] == []
    assert (await owner("GET", f"{path}/nodes/sys/variables")).status_code == 400
    await owner.ok("DELETE", f"{path}/variables", status=204)
    assert (await owner.ok("GET", f"{path}/variables"))["total"] == 0


async def test_a_node_that_asks_somebody_is_a_record_that_waits(owner: Browser) -> None:
    body = graph(
        node("start", "start", variables=[]),
        node("ask", "human-input", form_content="Well?", inputs=[], user_actions=[{"id": "yes", "title": "Yes"}]),
        node("end", "end", outputs=[]),
        edges=[edge("start", "ask"), edge("ask", "end", "yes")],
    )
    app_id = await owner.draft(body)
    record = await owner.ok("POST", f"/apps/{app_id}/workflows/draft/nodes/ask/run", {"inputs": {}})
    assert (record["status"], record["node_id"]) == ("paused", "ask")
    assert (await owner.ok("GET", f"/apps/{app_id}/workflows/draft/nodes/ask/variables"))["items"] == []
