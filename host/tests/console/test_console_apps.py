"""Apps through the console: made, listed, changed, copied, exported, imported, deleted; and their keys."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from dify_host.identity.api_keys import MAX_KEYS

from ..service.service_house import House, Key
from .console_house import Browser, greeting


async def test_an_app_is_made_looked_at_changed_and_deleted(owner: Browser) -> None:
    body = {"name": "Desk", "description": "Helps", "mode": "chat", "icon_type": "emoji", "icon": "🤖"}
    made = await owner.ok("POST", "/apps", body, status=201)
    assert (made["name"], made["mode"], made["icon"], made["enable_api"]) == ("Desk", "chat", "🤖", True)
    assert made["site"]["code"] == made["site"]["access_token"]
    assert made["api_base_url"] == "http://dify.test/v1"
    assert made["model_config"]["prompt_type"] == "simple"
    assert made["author_name"] == "Owner"
    path = f"/apps/{made['id']}"
    assert await owner.ok("GET", path) == made
    changed = await owner.ok("PUT", path, {"name": "Desk 2", "description": "", "max_active_requests": 3})
    assert (changed["name"], changed["description"], changed["max_active_requests"]) == ("Desk 2", "", 3)
    assert changed["icon"] == "🤖"
    assert (await owner.ok("POST", f"{path}/name", {"name": "Desk 3"}))["name"] == "Desk 3"
    assert (await owner.ok("POST", f"{path}/icon", {"icon": "x"}))["icon"] == "x"
    assert (await owner.ok("POST", f"{path}/site-enable", {"enable_site": False}))["enable_site"] is False
    assert (await owner.ok("POST", f"{path}/api-enable", {"enable_api": False}))["enable_api"] is False
    await owner.ok("DELETE", path, status=204)
    gone = await owner("GET", path)
    assert (gone.status_code, gone.json()["code"]) == (404, "app_not_found")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"mode": "chat"}, "name"),
        ({"name": "", "mode": "chat"}, "name"),
        ({"name": "x" * 256, "mode": "chat"}, "name"),
        ({"name": "x", "mode": "channel"}, "mode"),
        ({"name": "x", "mode": "chat", "description": "x" * 401}, "description"),
    ],
)
async def test_a_bad_app_names_the_field(owner: Browser, body: dict[str, Any], field: str) -> None:
    answer = await owner("POST", "/apps", body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_param")
    assert field in f"{answer.json().get('params')} {answer.json()['message']}"


async def test_the_list_finds_by_mode_name_and_author(owner: Browser, editor: Browser) -> None:
    for name, mode in (("Alpha", "chat"), ("Beta", "workflow"), ("Alphabet", "workflow")):
        await owner.app(mode, name)
    await editor.app("workflow", "Gamma")

    async def names(query: str) -> list[str]:
        return [item["name"] for item in (await owner.ok("GET", f"/apps?{query}"))["data"]]

    assert await names("") == ["Gamma", "Alphabet", "Beta", "Alpha"]
    assert await names("mode=workflow&name=alpha") == ["Alphabet"]
    assert await names("is_created_by_me=true&mode=all") == ["Alphabet", "Beta", "Alpha"]
    assert await names("name=%25") == []
    page = await owner.ok("GET", "/apps?page=2&limit=3")
    assert (page["total"], page["has_more"], [item["name"] for item in page["data"]]) == (4, False, ["Alpha"])
    assert page["data"][0]["model_config"].keys() == {
        "model", "pre_prompt", "created_by", "created_at", "updated_by", "updated_at",
    }  # fmt: skip
    for bad in ("page=0", "limit=101", "mode=nothing"):
        assert (await owner("GET", f"/apps?{bad}")).status_code == 400


async def test_export_and_import_bring_the_same_app(owner: Browser) -> None:
    secret = {"name": "key", "value_type": "secret", "value": "sesame"}
    app_id = await owner.draft(greeting(), environment_variables=[secret])
    text = (await owner.ok("GET", f"/apps/{app_id}/export"))["data"]
    assert "sesame" not in text
    assert "sesame" in (await owner.ok("GET", f"/apps/{app_id}/export?include_secret=true"))["data"]
    made = await owner.ok("POST", "/apps/imports", {"mode": "yaml-content", "yaml_content": text, "name": "Twin"})
    assert (made["status"], made["app_mode"]) == ("completed", "workflow")
    twin = await owner.ok("GET", f"/apps/{made['app_id']}/workflows/draft")
    nodes = {item["id"]: item["data"] for item in twin["graph"]["nodes"]}
    assert list(nodes) == ["start", "greet", "end"]
    assert nodes["greet"]["template"] == "Hello {{ name }}"
    assert [(item["source"], item["target"]) for item in twin["graph"]["edges"]] == [
        ("start", "greet"),
        ("greet", "end"),
    ]
    assert (await owner.ok("GET", f"/apps/{made['app_id']}"))["name"] == "Twin"


async def test_a_copy_is_an_app_of_its_own_with_its_secrets(owner: Browser) -> None:
    secret = {"name": "key", "value_type": "secret", "value": "sesame"}
    app_id = await owner.draft(greeting("{{ name }}!"), environment_variables=[secret])
    copy = await owner.ok("POST", f"/apps/{app_id}/copy", {"name": "Copy"}, status=201)
    assert (copy["name"], copy["mode"]) == ("Copy", "workflow")
    assert copy["id"] != app_id
    text = (await owner.ok("GET", f"/apps/{copy['id']}/export?include_secret=true"))["data"]
    assert "sesame" in text
    await owner.ok("DELETE", f"/apps/{app_id}", status=204)
    assert (await owner.ok("GET", f"/apps/{copy['id']}/workflows/draft"))["graph"]["nodes"]


async def test_a_text_of_a_newer_version_waits_to_be_confirmed_once(owner: Browser, stranger: Browser) -> None:
    app_id = await owner.draft(greeting())
    data = yaml.safe_load((await owner.ok("GET", f"/apps/{app_id}/export"))["data"])
    text = yaml.safe_dump({**data, "version": "99.0.0"})
    body = {"mode": "yaml-content", "yaml_content": text, "name": "Later"}
    waiting = await owner.ok("POST", "/apps/imports", body, status=202)
    assert (waiting["status"], waiting["app_id"], waiting["imported_dsl_version"]) == ("pending", None, "99.0.0")
    confirm = f"/apps/imports/{waiting['id']}/confirm"
    assert (await stranger("POST", confirm)).status_code == 404
    done = await owner.ok("POST", confirm)
    assert done["status"] == "completed"
    assert (await owner.ok("GET", f"/apps/{done['app_id']}"))["name"] == "Later"
    assert (await owner("POST", confirm)).status_code == 404


@pytest.mark.parametrize("text", ["", "kind: [", "- a", "kind: app\napp: {mode: nothing}\n"])
async def test_a_text_that_is_no_app_fails_and_leaves_nothing(owner: Browser, text: str) -> None:
    answer = await owner("POST", "/apps/imports", {"mode": "yaml-content", "yaml_content": text})
    assert answer.status_code == 400
    if text:
        assert answer.json()["status"] == "failed"
        assert answer.json()["error"]
    assert (await owner.ok("GET", "/apps"))["total"] == 0


async def test_an_address_for_a_text_goes_through_the_guard(owner: Browser) -> None:
    body = {"mode": "yaml-url", "yaml_url": "http://169.254.169.254/latest/app.yml"}
    answer = await owner("POST", "/apps/imports", body)
    assert answer.status_code == 400
    assert (await owner.ok("GET", "/apps"))["total"] == 0


async def test_keys_are_shown_once_work_at_once_and_stop_at_once(owner: Browser, house: House) -> None:
    app_id = await owner.draft(greeting())
    await owner.ok("POST", f"/apps/{app_id}/workflows/publish", {})
    path = f"/apps/{app_id}/api-keys"
    key = await owner.ok("POST", path, status=201)
    assert key["token"].startswith("app-")
    caller = Key(owner.web, key["token"], app_id)
    assert (await caller("GET", "/info")).json()["name"] == "App"
    (listed,) = (await owner.ok("GET", path))["data"]
    assert listed["id"] == key["id"]
    assert key["token"] not in listed["token"]
    for _ in range(MAX_KEYS - 1):
        await owner.ok("POST", path, status=201)
    full = await owner("POST", path)
    assert (full.status_code, full.json()["code"]) == (400, "max_keys_exceeded")
    await owner.ok("DELETE", f"{path}/{key['id']}", status=204)
    assert (await caller("GET", "/info")).status_code == 401
    assert (await owner("DELETE", f"{path}/{key['id']}")).status_code == 404
