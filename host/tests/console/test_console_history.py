"""What runs leave: lists, counts, one run with its nodes, and where its time went."""

from __future__ import annotations

from typing import Any

import pytest

from ..service.service_house import House, answers_with, edge, graph, node
from .console_house import Browser, greeting
from .test_console_tries import failing


async def test_runs_are_listed_counted_and_shown_with_their_graph(owner: Browser, house: House) -> None:
    app_id = await owner.draft(greeting())
    run = f"/apps/{app_id}/workflows/draft/run"
    ids = [(await owner.stream(run, {"inputs": {"name": name}}))[0]["workflow_run_id"] for name in "abc"]
    path = f"/apps/{app_id}/workflow-runs"
    page = await owner.ok("GET", f"{path}?limit=2")
    assert ([item["id"] for item in page["data"]], page["has_more"]) == ([ids[2], ids[1]], True)
    rest = await owner.ok("GET", f"{path}?limit=2&last_id={ids[1]}")
    assert ([item["id"] for item in rest["data"]], rest["has_more"]) == ([ids[0]], False)
    one = page["data"][0]
    assert (one["status"], one["version"], one["total_steps"]) == ("succeeded", "draft", 3)
    assert one["created_by_account"]["email"] == owner.email
    assert "message_id" not in one
    assert (await owner("GET", f"{path}?last_id={app_id}")).status_code == 404
    assert (await owner.ok("GET", f"{path}?triggered_from=app-run"))["data"] == []
    assert (await owner.ok("GET", f"{path}?status=failed"))["data"] == []
    counts = await owner.ok("GET", f"{path}/count?time_range=1h")
    assert counts == {
        "total": 3, "running": 0, "succeeded": 3, "failed": 0, "stopped": 0, "partial_succeeded": 0,
    }  # fmt: skip
    for bad in ("time_range=soon", "status=lost", "time_range=0d"):
        assert (await owner("GET", f"{path}/count?{bad}")).status_code == 400

    detail = await owner.ok("GET", f"{path}/{ids[0]}")
    assert detail["graph"]["edges"] == greeting()["edges"]
    assert (detail["inputs"]["name"], detail["outputs"]) == ("a", {"text": "Hello a"})
    assert detail["created_by_role"] == "account"
    assert detail["finished_at"] >= detail["created_at"]


async def test_runs_of_callers_are_told_apart_from_tries(owner: Browser, house: House) -> None:
    key = await house.app("advanced-chat", answers_with())
    message = (await key.wait("/chat-messages", {"query": "hi"})).json()
    path = f"/apps/{key.app_id}/advanced-chat/workflow-runs"
    assert (await owner.ok("GET", path))["data"] == []
    (run,) = (await owner.ok("GET", f"{path}?triggered_from=app-run"))["data"]
    assert (run["conversation_id"], run["message_id"]) == (message["conversation_id"], message["id"])
    assert run["created_by_account"] is None
    assert (await owner.ok("GET", f"{path}/count?triggered_from=app-run"))["succeeded"] == 1
    detail = await owner.ok("GET", f"/apps/{key.app_id}/workflow-runs/{run['id']}")
    assert detail["created_by_end_user"]["session_id"] == "abc-123"
    nodes = (await owner.ok("GET", f"/apps/{key.app_id}/workflow-runs/{run['id']}/node-executions"))["data"]
    asked = next(item for item in nodes if item["node_type"] == "llm")
    assert asked["execution_metadata"]["total_tokens"] == run["total_tokens"] > 0
    assert {"total_price", "currency"} <= asked["execution_metadata"].keys()


async def test_each_node_of_a_failed_run_keeps_what_it_took_gave_and_failed_with(owner: Browser) -> None:
    app_id = await owner.draft(failing())
    said = await owner.stream(f"/apps/{app_id}/workflows/draft/run", {"inputs": {}})
    path = f"/apps/{app_id}/workflow-runs/{said[0]['workflow_run_id']}"
    assert (await owner.ok("GET", path))["status"] == "failed"
    nodes = (await owner.ok("GET", f"{path}/node-executions"))["data"]
    assert [(item["index"], item["node_id"], item["status"]) for item in nodes] == [
        (1, "start", "succeeded"),
        (2, "code", "failed"),
    ]
    assert "boom" in nodes[1]["error"]
    assert nodes[1]["elapsed_time"] > 0
    last = await owner.ok("GET", f"/apps/{app_id}/workflows/draft/nodes/code/last-run")
    assert last["id"] == nodes[1]["id"]


async def test_a_trace_accounts_for_every_millisecond(owner: Browser) -> None:
    slow = "import time\ndef main():\n    time.sleep(0.05)\n    return {'a': 1}\n"
    code = {"code_language": "python3", "code": slow, "variables": [], "outputs": {"a": {"type": "number"}}}
    body = graph(
        node("start", "start", variables=[]),
        node("left", "code", **code),
        node("right", "code", **code),
        node("join", "template-transform", template="x", variables=[]),
        node("end", "end", outputs=[]),
        edges=[
            *(edge("start", name) for name in ("left", "right")),
            *(edge(name, "join") for name in ("left", "right")),
            edge("join", "end"),
        ],
    )
    app_id = await owner.draft(body)
    said = await owner.stream(f"/apps/{app_id}/workflows/draft/run", {"inputs": {}})
    path = f"/apps/{app_id}/workflow-runs/{said[0]['workflow_run_id']}/trace"
    trace = await owner.ok("GET", path)
    found: dict[str, dict[str, Any]] = {item["node_id"]: item for item in trace["nodes"]}
    assert list(found) == ["start", "left", "right", "join", "end"]
    for item in trace["nodes"]:
        assert item["queue_ms"] == pytest.approx(item["started_ms"] - item["ready_ms"], abs=0.01)
        assert item["queue_ms"] >= 0
    assert min(found["left"]["run_ms"], found["right"]["run_ms"]) >= 50
    ends = [found[name]["started_ms"] + found[name]["run_ms"] for name in ("left", "right")]
    assert found["join"]["ready_ms"] == pytest.approx(max(ends), abs=0.01)
    idle = sum(item["length_ms"] for item in trace["gaps"])
    assert trace["busy_ms"] + idle == pytest.approx(trace["total_ms"], abs=0.05)
    assert trace["status"] == "succeeded"
