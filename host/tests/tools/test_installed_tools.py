"""Tool families of plugins: found by short and long names, called with the workspace's credentials."""

from __future__ import annotations

import msgspec
import pytest
from dify_host.db.tenant import Tenant
from dify_host.tools.errors import ToolCredentialsMissing, ToolNotFound, ToolProviderNotFound
from dify_kernel.contracts.tool import TextMessage
from dify_kernel.errors import BadInput, Conflict, CredentialsValidateFailedError, NotFound, PluginBroken, ToolError

from .tools_house import USER, ToolsHouse, said


class FormerCredentials(msgspec.Struct):
    """What the family asked for before it wanted a key."""

    token: str


async def add(house: ToolsHouse, tenant: Tenant, key: str, name: str) -> str:
    tools = house.tools(tenant).installed
    info = await tools.add_credentials("greeting", {"api_key": key}, name=name, user_id=USER)
    return next(item.id for item in info.credentials if item.name == name)


@pytest.mark.parametrize("provider", ["greeting", "somebody/greeting/greeting"])
@pytest.mark.parametrize("kind", ["builtin", "plugin"])
async def test_a_family_answers_to_its_short_and_its_long_name(
    house: ToolsHouse, tenant: Tenant, kind: str, provider: str
) -> None:
    await add(house, tenant, "one", "1")
    runtime = house.runtime(tenant)
    assert (await runtime.describe(kind, provider, "greet")).parameters[0].name == "who"
    assert await said(runtime, kind, provider, "greet", who="é", times="2") == [TextMessage("kind é 2 o")]


async def test_the_default_credentials_are_used_unless_others_are_named(house: ToolsHouse, tenant: Tenant) -> None:
    first, second = await add(house, tenant, "one", "1"), await add(house, tenant, "two", "2")
    installed = house.tools(tenant).installed

    async def key(credential_id: str | None = None) -> str:
        runtime = house.runtime(tenant)
        (message,) = await said(runtime, "builtin", "greeting", "greet", who="x", credential_id=credential_id)
        return message.text[-1:]  # type: ignore[union-attr]

    assert [await key(), await key(second)] == ["o", "t"]
    await installed.set_default("greeting", second)
    assert [await key(), await key(first)] == ["t", "o"]
    await installed.remove_credentials("greeting", second)
    assert await key() == "o"
    with pytest.raises(NotFound):
        await key(second)


async def test_credentials_are_checked_masked_and_kept_apart(house: ToolsHouse, tenant: Tenant) -> None:
    installed = house.tools(tenant).installed
    with pytest.raises(CredentialsValidateFailedError, match="unknown"):
        await add(house, tenant, "bad", "1")
    with pytest.raises(BadInput, match="api_key"):
        await installed.add_credentials("greeting", {}, user_id=USER)
    await add(house, tenant, "a-long-secret-key", "1")
    with pytest.raises(Conflict):
        await add(house, tenant, "another", "1")
    (shown,) = (await installed.get("greeting")).credentials
    assert "a-long-secret" not in str(shown)
    assert shown.is_default
    await installed.update_credentials(
        "greeting", shown.id, credentials={"api_key": "[__HIDDEN__]", "region": "us"}, name="2"
    )
    (changed,) = (await installed.get("greeting")).credentials
    assert (changed.name, changed.credentials) == ("2", {**shown.credentials, "region": "us"})

    stranger = house.tools(await house.tenant()).installed
    assert (await stranger.get("greeting")).credentials == []
    with pytest.raises(NotFound):
        await stranger.remove_credentials("greeting", shown.id)


async def test_a_set_that_no_longer_fits_its_form_hides_no_other(house: ToolsHouse, tenant: Tenant) -> None:
    await add(house, tenant, "one", "1")
    installed = house.tools(tenant).installed
    await installed._store.add("greeting", "old", FormerCredentials(token="t"), USER)
    shown = (await installed.get("greeting")).credentials
    assert [(item.name, bool(item.credentials)) for item in shown] == [("1", True), ("old", False)]
    await installed.update_credentials("greeting", shown[1].id, credentials={"api_key": "two"})
    assert all(item.credentials for item in (await installed.get("greeting")).credentials)


async def test_without_credentials_a_tool_says_what_is_missing(house: ToolsHouse, tenant: Tenant) -> None:
    with pytest.raises(ToolCredentialsMissing, match="greeting"):
        await said(house.runtime(tenant), "builtin", "greeting", "greet", who="x")


async def test_files_arrive_with_their_content(house: ToolsHouse, tenant: Tenant) -> None:
    await add(house, tenant, "one", "1")
    files = [house.files.put(text.encode(), filename=f"{text}.txt", mime_type="text/plain") for text in ("a", "b")]
    messages = await said(house.runtime(tenant), "builtin", "greeting", "read", files=files)
    assert "".join(item.text for item in messages) == "a.txt=a;b.txt=b;"  # type: ignore[union-attr]


async def test_an_unknown_provider_names_the_plugin_to_install(house: ToolsHouse, tenant: Tenant) -> None:
    runtime = house.runtime(tenant)
    with pytest.raises(ToolProviderNotFound, match="pip install dify-tools-tavily") as caught:
        await runtime.describe("builtin", "langgenius/tavily/tavily", "search")
    assert caught.value.status == 404
    with pytest.raises(ToolNotFound, match="greet, read, break"):
        await runtime.describe("builtin", "greeting", "dance")
    with pytest.raises(NotFound, match="app"):
        await runtime.describe("app", "x", "y")


async def test_a_fault_of_a_plugin_is_a_tool_error_and_a_broken_one_is_listed(
    house: ToolsHouse, tenant: Tenant
) -> None:
    await add(house, tenant, "one", "1")
    with pytest.raises(ToolError, match="KeyError"):
        await said(house.runtime(tenant), "builtin", "greeting", "break")
    listed = {item.provider: item for item in await house.tools(tenant).installed.list()}
    assert (listed["absent"].status, listed["greeting"].status, listed["time"].status) == ("broken", "ready", "ready")
    assert "there_is_no_such_module" in listed["absent"].reason
    with pytest.raises(PluginBroken):
        await house.runtime(tenant).describe("builtin", "absent", "x")
