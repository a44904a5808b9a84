"""Websites connected by a key, by the routes of the time before plugins: the same credentials under another name."""

from __future__ import annotations

from typing import Any

import pytest
from dify_host.datasources.installed import DatasourceCredentialStore
from dify_host.platform import Platform
from dify_kernel.settings import Secret
from dify_kernel.testing.memory_datasource import GOOD_KEY, MemoryCredentials

from ..console.console_house import Browser
from ..service.service_house import House

PATH = "/api-key-auth/data-source"


def binding(key: str = GOOD_KEY, provider: str = "memory", **more: Any) -> dict[str, Any]:
    credentials = {"auth_type": "bearer", "config": {"api_key": key}}
    return {"category": "website", "provider": provider, "credentials": credentials, **more}


async def listed(browser: Browser) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await browser.ok("GET", PATH))["sources"]
    return found


async def test_a_key_is_bound_listed_and_forgotten(owner: Browser, sources: Any) -> None:
    assert await listed(owner) == []
    assert await owner.ok("POST", f"{PATH}/binding", binding()) == {"result": "success"}
    [found] = await listed(owner)
    assert {name: found[name] for name in ("category", "provider", "disabled")} == {
        "category": "website",
        "provider": "memory",
        "disabled": False,
    }
    assert found["created_at"] == found["updated_at"] > 1_700_000_000
    assert GOOD_KEY not in str(found)
    [kept] = (await owner.ok("GET", "/auth/plugin/datasource/memory"))["result"]
    assert (kept["id"], kept["is_default"]) == (found["id"], True)
    begun = await owner.ok("POST", "/website/crawl", {"provider": "memory", "url": "https://site.test/"})
    assert begun["status"] == "active"
    await owner.ok("DELETE", f"{PATH}/{found['id']}", status=204)
    assert await listed(owner) == []
    assert (await owner("DELETE", f"{PATH}/{found['id']}")).status_code == 404


async def test_a_key_that_is_refused_is_not_kept_nor_repeated(owner: Browser, sources: Any) -> None:
    refused = await owner("POST", f"{PATH}/binding", binding("key-of-nobody"))
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_param")
    assert "key-of-nobody" not in refused.text
    assert await listed(owner) == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (binding(provider="nobody"), 404),
        (binding(provider="notion_datasource"), 404),
        (binding(provider="web"), 400),
        (binding(category="other"), 400),
        (binding(credentials={"config": {"api_key": GOOD_KEY}}), 400),
        (binding(credentials={"auth_type": "", "config": {"api_key": GOOD_KEY}}), 400),
        (binding(credentials={"auth_type": "bearer", "config": {}}), 400),
        (binding(credentials={"auth_type": "bearer", "config": {"api_key": GOOD_KEY, "region": "eu"}}), 400),
    ],
)
async def test_what_cannot_be_bound_is_refused(owner: Browser, sources: Any, body: dict[str, Any], status: int) -> None:
    assert (await owner("POST", f"{PATH}/binding", body)).status_code == status


async def test_keys_of_what_is_no_website_are_none_of_the_bindings(
    owner: Browser, house: House, platform: Platform, credential_id: str
) -> None:
    store = DatasourceCredentialStore(platform.db, house.workspace.tenant, platform.tenant_keys)
    for provider in ("notion_datasource", "not_installed_any_more", "absent_source"):
        other = await store.add(provider, "one", MemoryCredentials(api_key=Secret("secret_1")), house.owner_id)
        assert (await owner("DELETE", f"{PATH}/{other}")).status_code == 404
    assert [item["id"] for item in await listed(owner)] == [credential_id]
    assert len(await store.list()) == 4


async def test_a_binding_belongs_to_its_workspace(owner: Browser, stranger: Browser, credential_id: str) -> None:
    assert await listed(stranger) == []
    assert (await stranger("DELETE", f"{PATH}/{credential_id}")).status_code == 404
    assert [item["id"] for item in await listed(owner)] == [credential_id]
