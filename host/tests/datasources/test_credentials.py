"""Credentials of data sources: checked, encrypted, shown without their secrets, and kept within a workspace."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa
from dify_host.datasources.installed import DatasourceCredentialStore
from dify_host.datasources.tables import datasource_providers
from dify_host.platform import Platform
from dify_kernel.forms import HIDDEN
from dify_kernel.testing.memory_datasource import GOOD_KEY

from ..console.console_house import Browser
from ..service.service_house import House

PATH = "/auth/plugin/datasource/memory"
LONG = "/auth/plugin/datasource/someone/memory_datasource/memory"


class FormerCredentials(msgspec.Struct):
    """What the provider asked for before it wanted a key."""

    token: str


async def listed(browser: Browser, path: str = PATH) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await browser.ok("GET", path))["result"]
    return found


async def test_a_key_is_checked_encrypted_and_shown_by_its_end(
    owner: Browser, platform: Platform, credential_id: str
) -> None:
    [kept] = await listed(owner)
    assert (kept["id"], kept["name"], kept["is_default"]) == (credential_id, "API KEY 1", True)
    assert kept["credential"]["api_key"].endswith(GOOD_KEY[-4:])
    assert GOOD_KEY not in str(kept)
    async with platform.db.read() as conn:
        row = (await conn.execute(sa.select(datasource_providers))).one()
    assert GOOD_KEY not in str(row)
    for wrong in ({"api_key": "key-of-nobody"}, {"api_key": ""}, {"api_key": GOOD_KEY, "more": 1}):
        refused = await owner("POST", PATH, {"credentials": wrong})
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_param")
        assert "key-of-nobody" not in refused.text
    assert len(await listed(owner)) == 1


async def test_sets_are_named_changed_chosen_and_deleted(owner: Browser, credential_id: str) -> None:
    body = {"credentials": {"api_key": GOOD_KEY}}
    await owner.ok("POST", LONG, {**body, "name": "second"})
    assert (await owner("POST", PATH, {**body, "name": "second"})).status_code == 409
    second = (await listed(owner))[1]["id"]
    await owner.ok("POST", f"{LONG}/default", {"id": second})
    assert [item["name"] for item in await listed(owner, LONG)] == ["second", "API KEY 1"]
    await owner.ok("POST", f"{PATH}/update-name", {"credential_id": second, "name": "other"})
    await owner.ok("POST", f"{PATH}/update", {"credential_id": second, "credentials": {"api_key": HIDDEN}})
    refused = await owner("POST", f"{PATH}/update", {"credential_id": second, "credentials": {"api_key": "wrong"}})
    assert refused.status_code == 400
    [default] = [
        item for item in (await listed(owner, "/auth/plugin/datasource/default-list")) if item["name"] == "memory"
    ]
    assert [item["name"] for item in default["credentials_list"]] == ["other"]
    await owner.ok("POST", f"{PATH}/delete", {"credential_id": second})
    assert [(item["id"], item["is_default"]) for item in await listed(owner)] == [(credential_id, True)]


async def test_a_set_that_no_longer_fits_its_form_hides_no_other_and_is_entered_anew(
    owner: Browser, house: House, platform: Platform, credential_id: str
) -> None:
    store = DatasourceCredentialStore(platform.db, house.workspace.tenant, platform.tenant_keys)
    old = await store.add("memory", "old", FormerCredentials(token="t"), house.owner_id)
    assert [(item["id"], bool(item["credential"])) for item in await listed(owner)] == [
        (credential_id, True),
        (old, False),
    ]
    hidden = {"credential_id": old, "credentials": {"api_key": HIDDEN}}
    refused = await owner("POST", f"{PATH}/update", hidden)
    assert (refused.status_code, "has to be entered" in refused.text) == (400, True)
    await owner.ok("POST", f"{PATH}/update", {"credential_id": old, "credentials": {"api_key": GOOD_KEY}})
    assert all(item["credential"] for item in await listed(owner))


async def test_providers_are_listed_with_their_forms_and_broken_ones_with_the_reason(
    owner: Browser, credential_id: str
) -> None:
    found = {item["name"]: item for item in await listed(owner, "/auth/plugin/datasource/list")}
    assert [field["type"] for field in found["memory"]["credential_schema"]] == ["secret-input"]
    assert (found["absent_source"]["status"], "there_is_no_such_module" in found["absent_source"]["reason"]) == (
        "broken",
        True,
    )
    sources = await owner.ok("GET", "/rag/pipelines/datasource-plugins")
    [memory] = [item for item in sources if item["provider"] == "memory"]
    types = [item["provider_type"] for item in memory["declaration"]["datasources"]]
    assert types == ["website_crawl", "online_document", "online_drive"]


async def test_a_set_belongs_to_its_workspace(owner: Browser, stranger: Browser, credential_id: str) -> None:
    assert await listed(stranger) == []
    for path, body in (
        ("delete", {"credential_id": credential_id}),
        ("update-name", {"credential_id": credential_id, "name": "mine"}),
        ("default", {"id": credential_id}),
    ):
        assert (await stranger("POST", f"{PATH}/{path}", body)).status_code == 404
    answer = await stranger("GET", f"/notion/pre-import/pages?credential_id={credential_id}")
    assert answer.status_code == 404
    assert len(await listed(owner)) == 1
