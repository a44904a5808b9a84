"""Sensitive words: what comes in is judged before a run, what comes out while it is written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from dify_host.extensions.errors import ExtensionFailed, ExtensionNotFound
from dify_host.platform import Platform
from dify_host.runs.recorder import Creator
from dify_host.runs.service import RunRequest
from dify_kernel.errors import BadInput

from .api_extension import KEY, ApiExtensionServer, api_extension
from .service_house import House, Key, answers_with, names

IN, OUT = "Let us talk about something else.", "That was not for you."
LONG = "word " * 200


@pytest.fixture
def extension() -> Iterator[ApiExtensionServer]:
    with api_extension() as server:
        yield server


def avoidance(kind: str, *, inputs: bool = True, outputs: bool = True, **config: Any) -> dict[str, Any]:
    sides = {
        "inputs_config": {"enabled": inputs, "preset_response": IN},
        "outputs_config": {"enabled": outputs, "preset_response": OUT},
    }
    return {"enabled": True, "type": kind, "config": {**sides, **config}}


WORDS = avoidance("keywords", keywords="badger\n\nrude word")


async def app_of(house: House, mode: str, feature: dict[str, Any], **config: Any) -> Key:
    if mode == "advanced-chat":
        return await house.app(mode, answers_with(), features={"sensitive_word_avoidance": feature})
    if mode == "completion":
        field = {"paragraph": {"label": "Query", "variable": "query", "required": True}}
        config = {"pre_prompt": "{{query}}", "user_input_form": [field], **config}
    return await house.app(mode, {"pre_prompt": "", "sensitive_word_avoidance": feature, **config})


async def by_extension(house: House, server: ApiExtensionServer, **more: Any) -> dict[str, Any]:
    made = await house.workspace.extensions.create("Judge", server.url, KEY)
    return avoidance("api", api_based_extension_id=made.id, **more)


def told(found: list[dict[str, Any]]) -> str:
    """What a client shows at the end of a stream: pieces in a row, or what replaced them."""
    text = ""
    for item in found:
        if item["event"] == "message":
            text += item["answer"]
        elif item["event"] == "message_replace":
            text = item["answer"]
    return text


async def kept(app: Key, found: dict[str, Any]) -> dict[str, Any]:
    listed = (await app("GET", f"/messages?user=abc-123&conversation_id={found['conversation_id']}")).json()["data"]
    message: dict[str, Any] = listed[-1]
    return message


@pytest.mark.parametrize("mode", ["chat", "advanced-chat"])
async def test_a_question_with_a_sensitive_word_is_not_run(house: House, openai: Any, mode: str) -> None:
    app = await app_of(house, mode, WORDS)
    before = len(openai.requests)
    found = await app.stream("/chat-messages", {"query": "Tell me of BADGERS", "auto_generate_name": False})
    assert names(found) == ["message", "message_end"]
    assert told(found) == IN
    assert found[-1]["metadata"]["annotation_reply"] is None
    assert found[-1]["metadata"]["usage"]["total_tokens"] == 0
    assert len(openai.requests) == before
    message = await kept(app, found[-1])
    assert (message["query"], message["answer"]) == ("Tell me of BADGERS", IN)
    answer = (await app.wait("/chat-messages", {"query": "a rude word"})).json()
    assert answer["answer"] == IN


async def test_inputs_are_judged_as_the_query_is_after_the_form_was_checked(house: House) -> None:
    app = await app_of(house, "completion", WORDS)
    answer = (await app.wait("/completion-messages", {"inputs": {"query": "a badger"}})).json()
    assert (answer["answer"], answer["mode"]) == (IN, "completion")
    assert (await app.wait("/completion-messages", {"inputs": {}})).json()["code"] == "invalid_param"
    fine = (await app.wait("/completion-messages", {"inputs": {"query": "REPLY:Fine."}})).json()
    assert fine["answer"] == "Fine."


@pytest.mark.parametrize("mode", ["chat", "advanced-chat"])
async def test_an_answer_with_a_sensitive_word_is_replaced(house: House, mode: str) -> None:
    app = await app_of(house, mode, avoidance("keywords", inputs=False, keywords="badger"))
    found = await app.stream("/chat-messages", {"query": "REPLY:It was a badger."})
    assert names(found)[-2:] == ["message_replace", "message_end"]
    replaced = found[-2]
    assert (replaced["answer"], replaced["reason"]) == (OUT, "output_moderation")
    for name in ("task_id", "message_id", "conversation_id", "created_at"):
        assert replaced[name] == found[-1][name]
    assert told(found) == OUT
    assert (await kept(app, found[-1]))["answer"] == OUT
    blocking = (await app.wait("/chat-messages", {"query": "REPLY:It was a badger."})).json()
    assert blocking["answer"] == OUT
    assert (await kept(app, blocking))["answer"] == OUT
    fine = await app.stream("/chat-messages", {"query": "REPLY:It was a fox."})
    assert (told(fine), "message_replace" in names(fine)) == ("It was a fox.", False)


async def test_a_long_answer_is_cut_off_where_a_look_finds_a_word(house: House) -> None:
    app = await app_of(house, "chat", avoidance("keywords", inputs=False, keywords="badger"))
    found = await app.stream("/chat-messages", {"query": f"DELAY:1 REPLY:badger {LONG}"})
    assert names(found)[-1] == "message_end"
    at = [item["event"] for item in found].index("message_replace")
    assert "message" not in [item["event"] for item in found[at:]]
    shown = sum(len(item["answer"]) for item in found[:at])
    assert shown < len(LONG)
    assert (await kept(app, found[-1]))["answer"] == OUT


async def test_what_a_client_left_is_judged_all_the_same(house: House, platform: Platform) -> None:
    app = await app_of(house, "chat", avoidance("keywords", inputs=False, keywords="badger"))
    live = await platform.live_apps.find(house.workspace.app_repository, app.app_id, "chat")
    user = await house.workspace.end_users.get_or_create(app.app_id, "abc-123")
    creator = Creator(role="end_user", id=user.id, name="abc-123")
    request = RunRequest(
        tenant=house.workspace.tenant,
        app=live.app,
        creator=creator,
        user_id="abc-123",
        inputs={},
        query="REPLY:It was a badger.",
    )
    call = await platform.calls.start(live, request)
    reader = call.follow(idle=10)
    await anext(reader)
    await reader.aclose()
    assert (await call.wait()).outputs["answer"] == OUT
    assert call.spec is not None
    assert (await kept(app, {"conversation_id": call.spec.conversation_id}))["answer"] == OUT


async def test_a_moderation_model_judges(house: House) -> None:
    app = await app_of(house, "chat", avoidance("openai_moderation"))
    assert (await app.wait("/chat-messages", {"query": "FLAG: me"})).json()["answer"] == IN
    assert (await app.wait("/chat-messages", {"query": "REPLY:FLAG: you"})).json()["answer"] == IN
    only_out = await app_of(house, "chat", avoidance("vendor_moderation", inputs=False))
    assert (await only_out.wait("/chat-messages", {"query": "REPLY:FLAG: you"})).json()["answer"] == OUT
    assert (await only_out.wait("/chat-messages", {"query": "REPLY:fine"})).json()["answer"] == "fine"


async def test_a_kind_that_nobody_knows_is_refused(house: House) -> None:
    app = await app_of(house, "chat", avoidance("cloud_service"))
    answer = await app.wait("/chat-messages", {"query": "hello"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_param")
    assert "cloud_service" in answer.json()["message"]


async def test_an_extension_judges_and_rewrites_what_comes_in(
    house: House, extension: ApiExtensionServer, openai: Any
) -> None:
    feature = await by_extension(house, extension, outputs=False)
    form = [{"text-input": {"label": "Name", "variable": "name", "required": False}}]
    app = await app_of(house, "chat", feature, user_input_form=form, pre_prompt="I am {{name}}")
    body = {"query": "BAD", "inputs": {"name": "Ada"}, "auto_generate_name": False}
    assert (await app.wait("/chat-messages", body)).json()["answer"] == "Not here."
    (asked,) = extension.points("app.moderation.input")
    assert asked == {"app_id": app.app_id, "inputs": {"name": "Ada"}, "query": "BAD"}
    rewritten = await app.wait("/chat-messages", {**body, "query": "The SECRET", "inputs": {"name": "SECRET"}})
    assert rewritten.json()["answer"] == "ECHO(The ***)"
    assert [message["content"] for message in openai.requests[-1].json()["messages"]] == ["I am ***", "The ***"]


async def test_an_extension_judges_and_rewrites_what_comes_out(house: House, extension: ApiExtensionServer) -> None:
    app = await app_of(house, "chat", await by_extension(house, extension, inputs=False))
    found = await app.stream("/chat-messages", {"query": "REPLY:FOUL play"})
    assert (told(found), names(found)[-2:]) == ("I would rather not.", ["message_replace", "message_end"])
    found = await app.stream("/chat-messages", {"query": f"DELAY:1 REPLY:MASK {LONG}MASK"})
    assert told(found) == f"#### {LONG}####"
    assert (await kept(app, found[-1]))["answer"] == f"#### {LONG}####"
    asked = extension.points("app.moderation.output")
    assert len(asked) > 2
    assert all(item["app_id"] == app.app_id for item in asked)


async def test_an_answer_that_cannot_be_judged_is_not_kept(house: House, extension: ApiExtensionServer) -> None:
    app = await app_of(house, "chat", await by_extension(house, extension, inputs=False))
    extension.broken = True
    found = await app.stream("/chat-messages", {"query": "REPLY:Who knows"})
    assert names(found) == ["message", "error"]
    assert (found[-1]["code"], found[-1]["status"]) == ("invalid_param", 400)
    answer = await app.wait("/chat-messages", {"query": "REPLY:Who knows"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_param")
    message = await kept(app, found[0])
    assert (message["answer"], message["status"]) == ("", "error")
    assert "500" in message["error"]


async def test_a_service_fills_a_variable_before_the_run(house: House, extension: ApiExtensionServer) -> None:
    made = await house.workspace.extensions.create("Weather", extension.url, KEY)
    config = {"api_based_extension_id": made.id}
    city = {"text-input": {"label": "City", "variable": "city", "required": True}}
    tool = {"type": "api", "variable": "weather", "label": "Weather", "enabled": True, "config": config}
    in_form = {"external_data_tool": {**tool, "required": True}}
    for shape in (
        {"user_input_form": [city, in_form]},
        {"user_input_form": [city], "external_data_tools": [tool]},
    ):
        app = await house.app("completion", {"pre_prompt": "{{city}}: {{weather}}", **shape})
        answer = await app.wait("/completion-messages", {"inputs": {"city": "Oslo"}})
        assert answer.json()["answer"] == "ECHO(Oslo: Sunny in Oslo (weather))", shape
    asked = extension.points("app.external_data_tool.query")[-1]
    assert asked == {"app_id": app.app_id, "tool_variable": "weather", "inputs": {"city": "Oslo"}, "query": ""}
    extension.broken = True
    refused = await app.wait("/completion-messages", {"inputs": {"city": "Oslo"}})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_param")
    assert "weather" in refused.json()["message"]


async def test_extensions_are_pinged_kept_sealed_and_the_workspaces_own(
    house: House, workshop: Any, extension: ApiExtensionServer
) -> None:
    extensions = house.workspace.extensions
    made = await extensions.create("Judge", extension.url, KEY)
    assert made.api_key.endswith(KEY[-4:])
    assert KEY not in repr(made)
    assert [item.id for item in await extensions.list()] == [made.id]
    for name, url, key in (("Judge", extension.url, KEY), ("", extension.url, KEY), ("Short", extension.url, "abc")):
        with pytest.raises(BadInput):
            await extensions.create(name, url, key)
    with pytest.raises(ExtensionFailed):
        await extensions.create("Wrong key", extension.url, "another-key")
    with pytest.raises(ExtensionFailed):
        await extensions.create("Inside", "http://10.0.0.1/extension", KEY)
    changed = await extensions.update(made.id, "Judge 2", extension.url, None)
    assert (changed.name, changed.api_key) == ("Judge 2", made.api_key)
    other = (await workshop.open("Other")).workspace.extensions
    assert await other.list() == []
    with pytest.raises(ExtensionNotFound):
        await other.call(made.id, "ping", {})
    await extensions.delete(made.id)
    with pytest.raises(ExtensionNotFound):
        await extensions.get(made.id)
