"""Triggers in the console: listed and switched when published, addresses from the first draft on, and called."""

from __future__ import annotations

from typing import Any

from ..service.service_house import graph, node
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
