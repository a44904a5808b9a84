"""A failed run goes on from the node that failed: what was done is not done again, what was mended is."""

from __future__ import annotations

from typing import Any

from ..service.service_house import House, edge, graph, node
from .console_house import Browser

COUNT = {"name": "count", "value_type": "number", "value": 0}


def code(body: str, **outputs: str) -> dict[str, Any]:
    """The data of a code node without inputs."""
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    types = {name: {"type": kind} for name, kind in outputs.items()}
    return {"code_language": "python3", "code": f"def main():\n{lines}\n", "variables": [], "outputs": types}


def two_steps(second: str, first: str = "import random\nreturn {'n': random.random()}") -> dict[str, Any]:
    """start -> first (another number each time) -> second -> end."""
    outputs = [
        {"variable": "first", "value_selector": ["first", "n"]},
        {"variable": "second", "value_selector": ["second", "m"]},
    ]
    return graph(
        node("start", "start", variables=[{"variable": "who", "type": "text-input", "required": True}]),
        node("first", "code", **code(first, n="number")),
        node("second", "code", **code(second, m="string")),
        node("end", "end", outputs=outputs),
        edges=[edge("start", "first"), edge("first", "second"), edge("second", "end")],
    )


BROKEN, MENDED = "raise ValueError('boom')", "return {'m': 'fine'}"


async def failed_run(owner: Browser, app_id: str) -> tuple[str, float]:
    """A failed try, and the number that its first node gave."""
    said = await owner.stream(f"/apps/{app_id}/workflows/draft/run", {"inputs": {"who": "Ada"}})
    assert said[-1]["data"]["status"] == "failed"
    (first,) = [
        item["data"] for item in said if item["event"] == "node_finished" and item["data"]["node_id"] == "first"
    ]
    return said[0]["workflow_run_id"], first["outputs"]["n"]


async def mend(owner: Browser, app_id: str, body: dict[str, Any]) -> None:
    """Save the draft as this."""
    draft = await owner.ok("GET", f"/apps/{app_id}/workflows/draft")
    await owner.save(app_id, body, hash=draft["hash"])


async def test_a_mended_draft_goes_on_from_the_node_that_failed(owner: Browser) -> None:
    app_id = await owner.draft(two_steps(BROKEN))
    run_id, number = await failed_run(owner, app_id)
    await mend(owner, app_id, two_steps(MENDED))
    said = await owner.stream(f"/apps/{app_id}/workflow-runs/{run_id}/retry", {})
    done = said[-1]["data"]
    assert (done["status"], done["outputs"]) == ("succeeded", {"first": number, "second": "fine"})
    assert said[0]["data"]["inputs"]["who"] == "Ada"
    assert said[0]["workflow_run_id"] != run_id
    runs = (await owner.ok("GET", f"/apps/{app_id}/workflow-runs"))["data"]
    assert [item["status"] for item in runs] == ["succeeded", "failed"]
    again = await owner("POST", f"/apps/{app_id}/workflow-runs/{said[0]['workflow_run_id']}/retry", {})
    assert (again.status_code, again.json()["code"]) == (400, "run_not_failed")


async def test_a_node_that_changed_and_what_follows_it_is_worked_out_again(owner: Browser) -> None:
    app_id = await owner.draft(two_steps(BROKEN))
    run_id, _ = await failed_run(owner, app_id)
    await mend(owner, app_id, two_steps(MENDED, first="return {'n': 5}"))
    said = await owner.stream(f"/apps/{app_id}/workflow-runs/{run_id}/retry", {})
    assert said[-1]["data"]["outputs"] == {"first": 5, "second": "fine"}


async def test_what_still_fails_fails_again_with_the_same_results_before_it(owner: Browser) -> None:
    app_id = await owner.draft(two_steps(BROKEN))
    run_id, number = await failed_run(owner, app_id)
    said = await owner.stream(f"/apps/{app_id}/workflow-runs/{run_id}/retry", {})
    assert said[-1]["data"]["status"] == "failed"
    nodes = await owner.ok("GET", f"/apps/{app_id}/workflow-runs/{said[0]['workflow_run_id']}/node-executions")
    found = {item["node_id"]: (item["status"], item["outputs"]) for item in nodes["data"]}
    assert found["first"] == ("succeeded", {"n": number})
    assert found["second"][0] == "failed"


async def test_a_callers_run_goes_on_as_the_callers(owner: Browser, house: House) -> None:
    app_id = await owner.draft(two_steps(BROKEN))
    await owner.ok("POST", f"/apps/{app_id}/workflows/publish", {})
    key = await house.key_of(app_id)
    failed = (await key.wait("/workflows/run", {"inputs": {"who": "Ada"}})).json()
    await mend(owner, app_id, two_steps(MENDED))
    said = await owner.stream(f"/apps/{app_id}/workflow-runs/{failed['workflow_run_id']}/retry", {})
    # A published version runs as it was, whatever became of the draft.
    assert said[-1]["data"]["status"] == "failed"
    path = f"/apps/{app_id}/workflow-runs/{said[0]['workflow_run_id']}"
    assert (await owner.ok("GET", path))["created_by_end_user"]["session_id"] == "abc-123"
    assert (await owner.ok("GET", f"/apps/{app_id}/workflow-runs"))["data"] == []


async def test_a_chat_goes_on_in_its_conversation_and_writes_to_it_once(owner: Browser) -> None:
    add = node(
        "add", "assigner", version="2",
        items=[
            {"variable_selector": ["conversation", "count"], "input_type": "constant", "operation": "+=", "value": 1}
        ],
    )  # fmt: skip

    def chat(second: str) -> dict[str, Any]:
        answer = node("answer", "answer", answer="{{#sys.query#}} {{#conversation.count#}} {{#second.m#}}")
        return graph(
            node("start", "start", variables=[]), add, node("second", "code", **code(second, m="string")), answer
        )

    app_id = await owner.draft(chat(BROKEN), "advanced-chat", conversation_variables=[COUNT])
    said = await owner.stream(f"/apps/{app_id}/advanced-chat/workflows/draft/run", {"query": "hi", "inputs": {}})
    assert said[-1]["event"] == "error"
    await mend(owner, app_id, chat(MENDED))
    again = await owner.stream(f"/apps/{app_id}/workflow-runs/{said[0]['workflow_run_id']}/retry", {})
    assert "".join(item["answer"] for item in again if item["event"] == "message") == "hi 1 fine"
    assert again[0]["conversation_id"] == said[0]["conversation_id"]
