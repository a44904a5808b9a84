"""Drafts and versions: saved when nobody else was faster, published, named, deleted, taken back; and new nodes."""

from __future__ import annotations

from typing import Any

import pytest
from dify_host.apps.variables import HIDDEN

from ..service.service_house import House, Workshop, answers_with, graph, node
from .console_house import Browser, greeting


async def test_a_draft_is_saved_when_nobody_was_faster(owner: Browser, editor: Browser) -> None:
    app_id = await owner.app()
    path = f"/apps/{app_id}/workflows/draft"
    missing = await owner("GET", path)
    assert (missing.status_code, missing.json()["code"]) == (400, "draft_workflow_not_exist")
    saved = await owner.save(app_id, greeting())
    draft = await owner.ok("GET", path)
    assert (draft["hash"], draft["version"], draft["graph"]["edges"]) == (saved["hash"], "draft", greeting()["edges"])
    assert draft["created_by"]["name"] == "Owner"
    second = await editor.save(app_id, greeting("Hi"), hash=saved["hash"])
    assert second["hash"] != saved["hash"]
    for stale in ({"hash": saved["hash"]}, {}):
        refused = await owner("POST", path, {"graph": greeting("Lost"), "features": {}, **stale})
        assert (refused.status_code, refused.json()["code"]) == (400, "draft_workflow_not_sync")
    draft = await owner.ok("GET", path)
    assert (draft["hash"], draft["updated_by"]["name"]) == (second["hash"], "Editor")


async def test_a_hidden_secret_sent_back_stays(owner: Browser) -> None:
    secret = {"name": "key", "value_type": "secret", "value": "sesame"}
    app_id = await owner.draft(greeting(), environment_variables=[secret])
    draft = await owner.ok("GET", f"/apps/{app_id}/workflows/draft")
    (shown,) = draft["environment_variables"]
    assert (shown["name"], shown["value"]) == ("key", HIDDEN)
    await owner.save(app_id, greeting("Hi"), hash=draft["hash"], environment_variables=[shown])
    text = (await owner.ok("GET", f"/apps/{app_id}/export?include_secret=true"))["data"]
    assert "sesame" in text
    (listed,) = (await owner.ok("GET", f"/apps/{app_id}/workflows/draft/environment-variables"))["items"]
    assert (listed["type"], listed["selector"], listed["value"]) == ("env", ["env", "key"], HIDDEN)


@pytest.mark.parametrize("body", [b"", b"[", b'{"graph": []}', b'{"features": {}}'])
async def test_what_is_no_draft_is_refused(owner: Browser, body: bytes) -> None:
    app_id = await owner.app()
    answer = await owner("POST", f"/apps/{app_id}/workflows/draft", content=body)
    assert answer.status_code == 400, answer.text


async def test_versions_are_published_listed_named_and_deleted(owner: Browser, editor: Browser) -> None:
    app_id = await owner.draft(greeting("One"))
    path = f"/apps/{app_id}/workflows"
    assert await owner.ok("GET", f"{path}/publish") is None
    first = await owner.ok("POST", f"{path}/publish", {"marked_name": "First"})
    assert (first["result"], isinstance(first["created_at"], int)) == ("success", True)
    draft = await owner.ok("GET", f"{path}/draft")
    await owner.save(app_id, greeting("Two"), hash=draft["hash"])
    await editor.ok("POST", f"{path}/publish", {})
    running = await owner.ok("GET", f"{path}/publish")
    listed = await owner.ok("GET", f"{path}?limit=1")
    assert ([item["id"] for item in listed["items"]], listed["has_more"]) == ([running["id"]], True)
    older = (await owner.ok("GET", f"{path}?limit=1&page=2"))["items"][0]
    assert (older["marked_name"], older["created_by"]["name"]) == ("First", "Owner")
    named = (await owner.ok("GET", f"{path}?named_only=true"))["items"]
    assert [item["id"] for item in named] == [older["id"]]
    account = (await editor.ok("GET", "/account/profile"))["id"]
    assert [item["id"] for item in (await owner.ok("GET", f"{path}?user_id={account}"))["items"]] == [running["id"]]

    changed = await owner.ok("PATCH", f"{path}/{older['id']}", {"marked_comment": "Was good"})
    assert (changed["marked_name"], changed["marked_comment"]) == ("First", "Was good")
    for bad in ({}, {"marked_name": "x" * 21}, {"marked_comment": "x" * 101}):
        assert (await owner("PATCH", f"{path}/{older['id']}", bad)).status_code == 400
    assert (await owner("DELETE", f"{path}/{running['id']}")).status_code == 400
    await owner.ok("DELETE", f"{path}/{older['id']}", status=204)
    assert (await owner("DELETE", f"{path}/{older['id']}")).status_code == 404
    draft_id = (await owner.ok("GET", f"{path}/draft"))["id"]
    assert (await owner("DELETE", f"{path}/{draft_id}")).status_code == 404
    assert (await owner("PATCH", f"{path}/{draft_id}", {"marked_name": "x"})).status_code == 404


async def test_a_version_is_taken_back_as_the_draft_and_what_runs_stays(owner: Browser) -> None:
    secret = {"name": "key", "value_type": "secret", "value": "sesame"}
    app_id = await owner.draft(greeting("One"), environment_variables=[secret])
    path = f"/apps/{app_id}/workflows"
    await owner.ok("POST", f"{path}/publish", {})
    first = await owner.ok("GET", f"{path}/publish")
    draft = await owner.ok("GET", f"{path}/draft")
    await owner.save(app_id, greeting("Two"), hash=draft["hash"], environment_variables=[])
    await owner.ok("POST", f"{path}/publish", {})
    running = await owner.ok("GET", f"{path}/publish")
    restored = await owner.ok("POST", f"{path}/{first['id']}/restore")
    draft = await owner.ok("GET", f"{path}/draft")
    assert draft["hash"] == restored["hash"]
    assert draft["graph"]["nodes"][1]["data"]["template"] == "One"
    assert "sesame" in (await owner.ok("GET", f"/apps/{app_id}/export?include_secret=true"))["data"]
    assert (await owner.ok("GET", f"{path}/publish"))["id"] == running["id"]
    assert (await owner("POST", f"{path}/{draft['id']}/restore")).status_code == 400


async def test_publishing_names_every_problem(owner: Browser) -> None:
    broken = graph(node("start", "start", variables=[]), node("code", "code"), node("x", "no-such-type"))
    app_id = await owner.draft(broken)
    refused = await owner("POST", f"/apps/{app_id}/workflows/publish", {})
    assert refused.status_code == 400
    assert {item["node_id"] for item in refused.json()["problems"]} >= {"x"}
    assert await owner.ok("GET", f"/apps/{app_id}/workflows/publish") is None


async def test_every_installed_node_tells_what_it_begins_with(owner: Browser, house: House) -> None:
    app_id = await owner.app()
    path = f"/apps/{app_id}/workflows/default-workflow-block-configs"
    found = {item["type"]: item["config"] for item in await owner.ok("GET", path)}
    assert found.keys() == set(house.platform.registry.names("nodes"))
    assert found["code"].keys() >= {"code_language", "code", "outputs"} & found["code"].keys()
    one = await owner.ok("GET", f"{path}/if-else")
    assert one["config"] == found["if-else"]
    assert await owner.ok("GET", f"{path}/no-such-type") == {}


@pytest.mark.parametrize(("mode", "made"), [("chat", "advanced-chat"), ("completion", "workflow")])
async def test_a_basic_app_becomes_a_workflow_that_answers_the_same(
    owner: Browser, house: House, workshop: Workshop, mode: str, made: str
) -> None:
    form = [{"text-input": {"variable": "query", "label": "Query", "required": True}}]
    config: dict[str, Any] = {"pre_prompt": "Say: {{query}}", "user_input_form": form, "opening_statement": "Hi"}
    key = await house.app(mode, config, publish=False)
    body = {"inputs": {"query": "ping"}, "query": "ping"}
    before = (await key.wait("/chat-messages" if mode == "chat" else "/completion-messages", body)).json()["answer"]
    new_id = (await owner.ok("POST", f"/apps/{key.app_id}/convert-to-workflow", {"name": "Flow"}))["new_app_id"]
    app = await owner.ok("GET", f"/apps/{new_id}")
    assert (app["name"], app["mode"]) == ("Flow", made)
    await owner.ok("POST", f"/apps/{new_id}/workflows/publish", {})
    flow = await house.key_of(new_id)
    if made == "workflow":
        outputs = (await flow.wait("/workflows/run", {"inputs": {"query": "ping"}})).json()["data"]["outputs"]
        assert outputs == {"result": before}
    else:
        answer = (await flow.wait("/chat-messages", body)).json()
        assert answer["answer"] == before
        parameters = (await flow("GET", "/parameters")).json()
        assert parameters["opening_statement"] == "Hi"
    assert (await owner.ok("GET", f"/apps/{key.app_id}"))["mode"] == mode
    assert (await owner("POST", f"/apps/{new_id}/convert-to-workflow", {})).status_code == 404


async def test_workflow_routes_are_for_workflow_apps(owner: Browser) -> None:
    chat, flow = await owner.app("chat"), await owner.draft(greeting())
    talk = await owner.app("advanced-chat")
    await owner.save(talk, answers_with())
    for path in (
        f"/apps/{chat}/workflows/draft",
        f"/apps/{chat}/workflow-runs",
        f"/apps/{flow}/advanced-chat/workflow-runs",
        f"/apps/{flow}/advanced-chat/workflow-runs/count",
    ):
        answer = await owner("GET", path)
        assert (answer.status_code, answer.json()["code"]) == (404, "app_not_found"), path
    for path in (f"/apps/{talk}/workflows/draft/run", f"/apps/{flow}/advanced-chat/workflows/draft/run"):
        answer = await owner("POST", path, {"inputs": {}, "query": "x"})
        assert (answer.status_code, answer.json()["code"]) == (404, "app_not_found"), path
