"""Triggers in the console: listed and switched when published, addresses from the first draft on, and called."""

from __future__ import annotations

from typing import Any

import pytest

from ..service.service_house import edge, graph, node
from .console_house import Browser


def hooked(**data: Any) -> dict[str, Any]:
    """webhook -> end."""
    return graph(
        node("hook", "trigger-webhook", **{"method": "post", "content_type": "application/json", **data}),
        node("end", "end", outputs=[]),
    )


async def test_a_webhook_has_its_addresses_from_the_first_draft_on(editor: Browser) -> None:
    app_id = await editor.draft(hooked())
    path = f"/apps/{app_id}/workflows/triggers/webhook?node_id=hook"
    shown = await editor.ok("GET", path)
    assert shown.keys() == {"id", "webhook_id", "webhook_url", "webhook_debug_url", "node_id", "created_at"}
    assert shown["webhook_url"] == f"http://dify.test/triggers/webhook/{shown['webhook_id']}"
    assert shown["webhook_debug_url"] == f"http://dify.test/triggers/webhook-debug/{shown['webhook_id']}"
    assert (await editor.web.post(shown["webhook_url"], json={})).status_code == 404

    await editor.ok("POST", f"/apps/{app_id}/workflows/publish", {})

    assert await editor.ok("GET", path) == shown
    assert (await editor.web.post(shown["webhook_url"], json={})).status_code == 200


async def test_triggers_are_listed_and_switched(editor: Browser) -> None:
    app_id = await editor.draft(hooked())
    assert await editor.ok("GET", f"/apps/{app_id}/triggers") == {"data": []}
    await editor.ok("POST", f"/apps/{app_id}/workflows/publish", {})
    (trigger,) = (await editor.ok("GET", f"/apps/{app_id}/triggers"))["data"]
    assert (trigger["trigger_type"], trigger["title"], trigger["node_id"]) == ("trigger-webhook", "Hook", "hook")
    assert (trigger["status"], trigger["provider_name"], trigger["icon"]) == ("enabled", "", "")

    body = {"trigger_id": trigger["id"], "enable_trigger": False}
    switched = await editor.ok("POST", f"/apps/{app_id}/trigger-enable", body)

    assert switched | {"updated_at": ""} == trigger | {"status": "disabled", "updated_at": ""}
    webhook = await editor.ok("GET", f"/apps/{app_id}/workflows/triggers/webhook?node_id=hook")
    assert (await editor.web.post(webhook["webhook_url"], json={})).status_code == 404


async def test_what_is_not_there(editor: Browser, stranger: Browser) -> None:
    app_id = await editor.draft(hooked())
    missing = await editor("GET", f"/apps/{app_id}/workflows/triggers/webhook?node_id=other")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    assert (await editor("GET", f"/apps/{app_id}/workflows/triggers/webhook")).status_code == 400
    theirs = await stranger("GET", f"/apps/{app_id}/workflows/triggers/webhook?node_id=hook")
    assert (theirs.status_code, theirs.json()["code"]) == (404, "app_not_found")


def two_hooks() -> dict[str, Any]:
    """Two webhooks that lead to one end, which gives what each has brought."""
    outputs = [{"variable": name, "value_selector": [name, "_webhook_raw", "body"]} for name in ("one", "two")]
    return graph(
        *(node(name, "trigger-webhook", method="post", content_type="application/json") for name in ("one", "two")),
        node("end", "end", outputs=outputs),
        edges=[edge("one", "end"), edge("two", "end")],
    )


async def call(editor: Browser, app_id: str, node_id: str, body: Any) -> None:
    """Call the address for tries of a webhook."""
    shown = await editor.ok("GET", f"/apps/{app_id}/workflows/triggers/webhook?node_id={node_id}")
    answer = await editor.web.post(shown["webhook_debug_url"], json=body)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(("route", "body"), [("run", {"node_id": "two"}), ("run-all", {"node_ids": ["one", "two"]})])
async def test_a_draft_runs_with_the_event_that_it_waited_for(editor: Browser, route: str, body: Any) -> None:
    app_id = await editor.draft(two_hooks())
    path = f"/apps/{app_id}/workflows/draft/trigger/{route}"
    await call(editor, app_id, "two", {"lost": "nobody waited"})
    waiting = {"status": "waiting", "retry_in": 1000}
    assert await editor.ok("POST", path, body) == waiting
    assert await editor.ok("POST", path, body) == waiting
    await call(editor, app_id, "two", {"name": "Ada"})

    said = [event for event in await editor.stream(path, body) if event["event"] != "text_chunk"]

    nodes = ["node_started", "node_finished"] * 2
    assert [event["event"] for event in said] == ["workflow_started", *nodes, "workflow_finished"]
    assert [event["data"]["node_id"] for event in said[1:-1:2]] == ["two", "end"]
    assert said[-1]["data"]["outputs"] == {"one": None, "two": {"name": "Ada"}}
    kept = (await editor.ok("GET", f"/apps/{app_id}/workflows/draft/nodes/two/variables"))["items"]
    assert {item["name"] for item in kept} >= {"_webhook_raw"}
    run = await editor.ok("GET", f"/apps/{app_id}/workflow-runs/{said[0]['workflow_run_id']}")
    assert run["status"] == "succeeded"
    assert await editor.ok("POST", path, body) == waiting


async def test_a_trigger_alone_runs_with_its_event(editor: Browser) -> None:
    app_id = await editor.draft(two_hooks())
    path = f"/apps/{app_id}/workflows/draft/nodes/one/trigger/run"
    assert (await editor.ok("POST", path))["status"] == "waiting"
    await call(editor, app_id, "two", {"not": "for it"})
    assert (await editor.ok("POST", path))["status"] == "waiting"
    await call(editor, app_id, "one", {"name": "Ada"})
    record = await editor.ok("POST", path)
    assert (record["status"], record["node_id"]) == ("succeeded", "one")
    assert record["outputs"]["_webhook_raw"]["body"] == {"name": "Ada"}
    last = await editor.ok("GET", f"/apps/{app_id}/workflows/draft/nodes/one/last-run")
    assert last["id"] == record["id"]


async def test_only_triggers_of_the_draft_are_waited_for(editor: Browser) -> None:
    app_id = await editor.draft(two_hooks())
    draft = f"/apps/{app_id}/workflows/draft"
    for path, body in (
        ("/trigger/run", {"node_id": "end"}),
        ("/trigger/run-all", {"node_ids": ["one", "nothing"]}),
        ("/trigger/run-all", {"node_ids": []}),
        ("/nodes/end/trigger/run", None),
    ):
        refused = await editor("POST", draft + path, body)
        assert refused.status_code == 400, (path, refused.text)


async def test_each_editor_waits_alone(editor: Browser, owner: Browser) -> None:
    app_id = await editor.draft(two_hooks())
    path = f"/apps/{app_id}/workflows/draft/trigger/run"
    assert (await editor.ok("POST", path, {"node_id": "one"}))["status"] == "waiting"
    await call(editor, app_id, "one", {"a": 1})
    assert (await owner.ok("POST", path, {"node_id": "one"}))["status"] == "waiting"
    assert (await editor.stream(path, {"node_id": "one"}))[-1]["data"]["status"] == "succeeded"
