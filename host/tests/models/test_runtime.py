"""Model calls: the right provider with the right credentials, priced, timed, watched, and ended when left."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import msgspec
import pytest
from dify_host.models.errors import ProviderTokenNotInitError
from dify_kernel.contracts.model import LLMDelta, LLMRequest, ModelType, PromptMessage
from dify_kernel.errors import (
    InvokeAuthorizationError,
    InvokeBadRequestError,
    InvokeError,
    InvokeRateLimitError,
    PluginNotFound,
)
from dify_kernel.registry import Registry
from dify_kernel.settings import Secret
from dify_kernel.testing.openai_server import OpenAIServer

from .conftest import World

LOCAL = "local-models"


def ask(text: str, model: str = "talk") -> LLMRequest:
    return LLMRequest(model=model, messages=[PromptMessage(role="user", content=text)])


async def collect(stream: Any) -> list[LLMDelta]:
    return [delta async for delta in stream]


async def test_a_call_is_priced_timed_and_watched(world: World) -> None:
    runtime = world.runtime(await world.tenant())
    deltas = await collect(runtime.llm(LOCAL, ask("one two three")))
    assert [delta.text for delta in deltas[:-1]] == ["one", "two", "three"]
    usage = deltas[-1].usage
    assert usage is not None
    assert (usage.total_tokens, usage.prompt_price, usage.total_price) == (15, "0.0200000", "0.0500000")
    assert usage.time_to_first_token is not None
    assert 0 <= usage.time_to_first_token <= usage.latency
    (note,) = world.notes
    assert note == {
        "hook": "model_invoked",
        "provider": LOCAL,
        "model": "talk",
        "model_type": "llm",
        "usage": usage,
        "error": None,
    }


async def test_no_model_means_the_default_one(world: World) -> None:
    runtime = world.runtime(await world.tenant())
    assert "".join(delta.text for delta in await collect(runtime.llm("", ask("hi", model="")))) == "hi"
    assert world.notes[0]["model"] == "talk"
    assert (await runtime.describe("", "", ModelType.TEXT_EMBEDDING)).model == "vector"
    with pytest.raises(ProviderTokenNotInitError, match="moderation"):
        await runtime.moderate("", "", "text")
    with pytest.raises(InvokeBadRequestError, match="without its provider"):
        await collect(runtime.llm("", ask("hi", model="gpt-4o")))


async def test_without_credentials_nobody_is_asked(world: World, openai_server: OpenAIServer) -> None:
    runtime = world.runtime(await world.tenant())
    asked = len(openai_server.requests)
    with pytest.raises(ProviderTokenNotInitError) as caught:
        await collect(runtime.llm("langgenius/openai/openai", ask("hi", model="gpt-4o")))
    assert (caught.value.code, caught.value.status) == ("provider_not_initialize", 400)
    assert isinstance(caught.value, InvokeError)
    assert len(openai_server.requests) == asked
    with pytest.raises(PluginNotFound):
        await collect(runtime.llm("no-such-vendor", ask("hi")))
    with pytest.raises(InvokeBadRequestError):
        await collect(runtime.text_to_speech(LOCAL, "talk", "hi", ""))


async def test_the_workspaces_own_credentials_are_sent(world: World, openai_server: OpenAIServer) -> None:
    tenants = [await world.tenant() for _ in range(2)]
    for number, tenant in enumerate(tenants):
        entered = {"openai_api_key": f"sk-of-workspace-{number}", "openai_api_base": openai_server.url}
        await world.providers(tenant).add("openai", entered)
    for number, tenant in enumerate(tenants):
        deltas = await collect(world.runtime(tenant).llm("openai", ask("REPLY:hello", model="gpt-4o")))
        assert "".join(delta.text for delta in deltas) == "hello"
        assert deltas[-1].usage is not None
        assert float(deltas[-1].usage.total_price) > 0
        assert openai_server.requests[-1].headers["authorization"] == f"Bearer sk-of-workspace-{number}"


@pytest.mark.parametrize(("key", "error"), [("bad-key", InvokeAuthorizationError), ("limited", InvokeRateLimitError)])
async def test_the_vendors_refusal_is_of_the_family_and_watched(
    world: World, openai_server: OpenAIServer, key: str, error: type[InvokeError]
) -> None:
    tenant = await world.tenant()
    await world.providers(tenant).add("openai", {"openai_api_key": "good", "openai_api_base": openai_server.url})
    opened = await world.providers(tenant).credentials("openai")
    expired = msgspec.structs.replace(opened, openai_api_key=Secret(key))
    world.pool.credentials.put((tenant.id, "openai"), expired)
    with pytest.raises(error):
        await collect(world.runtime(tenant).llm("openai", ask("hi", model="gpt-4o")))
    assert isinstance(world.notes[-1]["error"], error)


async def test_leaving_ends_the_call(world: World) -> None:
    runtime = world.runtime(await world.tenant())
    async with aclosing(runtime.llm(LOCAL, ask("one two three"))) as stream:
        async for _ in stream:
            break
    provider: Any = world.pool.get(LOCAL)
    assert provider.streams_ended == 1
    assert [note["error"] for note in world.notes] == [None]


async def test_a_fault_of_a_plugin_becomes_one_of_the_family(world: World) -> None:
    runtime = world.runtime(await world.tenant())
    with pytest.raises(InvokeError, match="local-models failed: KeyError") as caught:
        await collect(runtime.llm(LOCAL, ask("hi", model="faulty")))
    assert isinstance(caught.value.__cause__, KeyError)
    assert world.notes[0]["error"] is caught.value
    with pytest.raises(InvokeError, match="2 vectors for 3 texts"):
        await runtime.embed(LOCAL, "forgetful", ["a", "b", "c"])


async def test_texts_are_sent_in_groups_that_the_model_takes(world: World) -> None:
    runtime = world.runtime(await world.tenant())
    found = await runtime.embed(LOCAL, "vector", ["x" * n for n in range(8)])
    provider: Any = world.pool.get(LOCAL)
    assert provider.batches == [3, 3, 2]
    assert found.vectors == [[float(n)] for n in range(8)]
    assert (found.usage.total_tokens, found.usage.total_price) == (8, "0.0160000")
    assert (await runtime.embed(LOCAL, "vector", [])).vectors == []
    assert len(world.notes) == 2


async def test_the_other_kinds(world: World) -> None:
    runtime = world.runtime(await world.tenant())
    hits = await runtime.rerank(LOCAL, "any", "query", ["a", "b", "c"], top_n=2)
    assert [hit.text for hit in hits] == ["a", "b"]
    assert await runtime.speech_to_text(LOCAL, "any", b"1234", "a.mp3") == "a.mp3: 4 bytes"


async def test_a_process_has_one_object_of_a_provider(world: World) -> None:
    kind: Any = world.pool.kind(LOCAL)
    before = kind.made
    for _ in range(2):
        await collect(world.runtime(await world.tenant()).llm(LOCAL, ask("hi")))
    assert kind.made == before + 1
    provider: Any = world.pool.get(LOCAL)
    await world.pool.close()
    await world.pool.close()
    assert provider.closed == 1


async def test_the_real_watchers_are_called(world: World) -> None:
    seen: list[str] = []
    registry: Any = world.registry
    assert isinstance(registry, Registry)
    registry.notify = lambda hook, **arguments: seen.append(hook)
    runtime = type(world.runtime(await world.tenant()))(
        world.db, await world.tenant(), world.registry, world.keys, world.pool
    )
    await collect(runtime.llm(LOCAL, ask("hi")))
    assert seen == ["model_invoked"]
