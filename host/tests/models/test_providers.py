"""Providers of a workspace: credentials checked, encrypted, shown masked, and of no other workspace."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from dify_host.db.engine import Database
from dify_host.db.types import new_id
from dify_host.models.errors import CredentialNotFound, ProviderTokenNotInitError
from dify_host.models.pool import ProviderPool, provider_name
from dify_host.models.providers import ProviderService
from dify_host.models.tables import provider_credentials
from dify_kernel.contracts.model import ModelType
from dify_kernel.errors import BadInput, CredentialsValidateFailedError, PluginNotFound
from dify_kernel.forms import HIDDEN
from dify_kernel.registry import Registry
from dify_kernel.testing.openai_server import OpenAIServer
from hypothesis import given
from hypothesis import strategies as st

from .conftest import World

KEY = "sk-a-long-enough-key-1234"


@pytest.fixture
def entered(openai_server: OpenAIServer) -> dict[str, Any]:
    return {"openai_api_key": KEY, "openai_api_base": openai_server.url}


async def service(world: World) -> ProviderService:
    return world.providers(await world.tenant())


async def test_credentials_are_kept_encrypted_on_every_engine(
    database: Database, registry: Registry, pool: ProviderPool, entered: dict[str, Any]
) -> None:
    world = World(database, registry, pool)
    providers = await service(world)
    assert (await providers.get("openai")).status == "no-configure"
    info = await providers.add("langgenius/openai/openai", entered)
    assert (info.provider, info.status) == ("openai", "active")
    assert info.credentials[0].credentials["openai_api_key"] == "************1234"
    assert (await providers.credentials("openai")).openai_api_key.reveal() == KEY
    async with database.read() as conn:
        stored = (await conn.execute(sa.select(provider_credentials.c.encrypted_config))).scalar_one()
    assert KEY not in stored
    again = await providers.add("openai", {**entered, "openai_api_key": HIDDEN, "openai_organization": "org"})
    assert [item.name for item in again.credentials] == ["API KEY 1"]
    opened = await providers.credentials("openai/openai")
    assert (opened.openai_api_key.reveal(), opened.openai_organization) == (KEY, "org")
    await providers.set_default(ModelType.LLM, "openai", "any-model")
    await providers.remove("openai")
    assert (await providers.get("openai")).status == "no-configure"
    assert (await providers.default(ModelType.LLM)).provider == "local-models"  # type: ignore[union-attr]


async def test_credentials_of_another_key_hide_no_provider_and_are_entered_anew(
    world: World, entered: dict[str, Any]
) -> None:
    providers = await service(world)
    await providers.add("openai", entered)
    async with world.db.write() as conn:
        await conn.execute(sa.update(provider_credentials).values(encrypted_config="v1:nobody-opens-this"))
    [shown] = (await providers.get("openai")).credentials
    assert shown.credentials == {}
    assert "openai" in {item.provider for item in await providers.list()}
    with pytest.raises(BadInput, match="has to be entered"):
        await providers.add("openai", {**entered, "openai_api_key": HIDDEN})
    await providers.add("openai", entered)
    assert (await providers.credentials("openai")).openai_api_key.reveal() == KEY


async def test_credentials_that_the_vendor_refuses_are_not_kept(world: World, entered: dict[str, Any]) -> None:
    providers = await service(world)
    with pytest.raises(CredentialsValidateFailedError) as caught:
        await providers.add("openai", {**entered, "openai_api_key": "bad-key"})
    assert caught.value.status == 400
    assert (await providers.get("openai")).credentials == []


async def test_a_field_that_does_not_exist_is_named(world: World) -> None:
    providers = await service(world)
    with pytest.raises(BadInput, match=r"'api_key'.*openai_api_key"):
        await providers.add("openai", {"api_key": KEY})
    with pytest.raises(PluginNotFound):
        await providers.add("nobody/nothing/nowhere", {})


async def test_several_credentials_one_in_use(world: World, entered: dict[str, Any]) -> None:
    providers = await service(world)
    await providers.add("openai", entered, name="first")
    info = await providers.add("openai", {**entered, "openai_api_key": "sk-the-second-key-5678"}, name="second")
    assert [(item.name, item.active) for item in info.credentials] == [("first", False), ("second", True)]
    first, second = info.credentials
    await providers.activate("openai", first.id)
    assert (await providers.credentials("openai")).openai_api_key.reveal() == KEY
    await providers.remove("openai", first.id)
    assert (await providers.credentials("openai")).openai_api_key.reveal() == "sk-the-second-key-5678"
    await providers.remove("openai", second.id)
    with pytest.raises(ProviderTokenNotInitError) as caught:
        await providers.credentials("openai")
    assert (caught.value.code, caught.value.status) == ("provider_not_initialize", 400)
    with pytest.raises(CredentialNotFound):
        await providers.remove("openai")


async def test_every_installed_provider_is_listed(world: World) -> None:
    listed = {item.provider: item for item in await (await service(world)).list()}
    assert listed["local-models"].status == "active"
    assert listed["local-models"].fields == []
    assert listed["openai"].status == "no-configure"
    assert listed["openai"].fields[0].variable == "openai_api_key"
    assert listed["absent-module"].status == "broken"
    assert "there_is_no_such_module" in listed["absent-module"].reason


async def test_models_and_what_can_be_used(world: World, entered: dict[str, Any]) -> None:
    providers = await service(world)
    found = {item.provider: item.models for item in await providers.models(ModelType.LLM)}
    assert {model.info.model: model.status for model in found["local-models"]} == {"old": "active", "talk": "active"}
    assert {model.status for model in found["openai"]} == {"no-configure"}
    await providers.add("openai", entered)
    found = {item.provider: item.models for item in await providers.models()}
    assert {model.status for model in found["openai"]} == {"active"}
    assert len({model.info.model_type for model in found["openai"]}) > 1


async def test_the_default_model(world: World, entered: dict[str, Any]) -> None:
    providers = await service(world)
    first = await providers.default(ModelType.LLM)
    assert first is not None
    assert (first.provider, first.model, first.chosen) == ("local-models", "talk", False)
    assert await providers.default(ModelType.MODERATION) is None
    with pytest.raises(ProviderTokenNotInitError):
        await providers.set_default(ModelType.LLM, "openai", "gpt-4o")
    await providers.add("openai", entered)
    for model in ("gpt-4o", "a-model-of-my-own"):
        await providers.set_default(ModelType.LLM, "langgenius/openai/openai", model)
        chosen = await providers.default(ModelType.LLM)
        assert chosen is not None
        assert (chosen.provider, chosen.model, chosen.chosen) == ("openai", model, True)
    for model_type, model in ((ModelType.LLM, "unknown"), (ModelType.TTS, "talk"), (ModelType.LLM, "")):
        with pytest.raises(BadInput):
            await providers.set_default(model_type, "local-models", model)


async def test_another_workspace_is_out_of_reach(world: World, entered: dict[str, Any]) -> None:
    theirs, mine = await service(world), await service(world)
    credential = (await theirs.add("openai", entered)).credentials[0]
    await theirs.set_default(ModelType.LLM, "openai", "gpt-4o")
    assert (await mine.get("openai")).credentials == []
    assert (await mine.default(ModelType.LLM)).provider == "local-models"  # type: ignore[union-attr]
    for call in (
        mine.activate("openai", credential.id),
        mine.remove("openai", credential.id),
        mine.remove("openai"),
        mine.activate("openai", new_id()),
    ):
        with pytest.raises(CredentialNotFound):
            await call
    with pytest.raises(ProviderTokenNotInitError):
        await mine.credentials("openai")
    assert (await theirs.get("openai")).credentials == [credential]


@given(st.lists(st.from_regex(r"[a-z0-9_-]{1,8}", fullmatch=True), min_size=1, max_size=3))
def test_a_provider_is_named_by_its_last_part(parts: list[str]) -> None:
    assert provider_name("/".join(parts)) == parts[-1]
