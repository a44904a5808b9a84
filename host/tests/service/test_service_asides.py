"""What chats ask the default model beside their answers: names of conversations, questions to ask next."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from dify_kernel.contracts.model import ModelType

from .service_house import House, Key, Workshop, answers_with

SUGGESTS = {"suggested_questions_after_answer": {"enabled": True}}
MODES = ("chat", "advanced-chat")
NAMED = 'REPLY:{"title": "Gripper prices"}'


async def app_of(house: House, mode: str, features: dict[str, Any] | None = None) -> Key:
    features = features or {}
    if mode == "advanced-chat":
        return await house.app(mode, answers_with(), features=features)
    return await house.app(mode, {"pre_prompt": "", **features})


async def name_of(key: Key, conversation_id: str) -> str:
    listed = (await key("GET", "/conversations?user=abc-123")).json()["data"]
    return next(str(item["name"]) for item in listed if item["id"] == conversation_id)


@pytest.mark.parametrize("mode", MODES)
async def test_a_new_conversation_is_named_by_the_model(house: House, mode: str) -> None:
    app = await app_of(house, mode)
    found = await app.stream("/chat-messages", {"query": NAMED})
    conversation = found[-1]["conversation_id"]
    assert await name_of(app, conversation) == "Gripper prices"
    body = {"query": 'REPLY:{"title": "Another"}', "conversation_id": conversation}
    assert (await app.wait("/chat-messages", body)).status_code == 200
    assert await name_of(app, conversation) == "Gripper prices"


async def test_the_question_is_the_name_where_the_model_gives_none(house: House, workshop: Workshop) -> None:
    app = await app_of(house, "chat")
    long = "What is the price of a gripper pad in the northern hemisphere?"
    for query, name, more in (
        ("What costs it?", "What costs it?", {}),
        (long, f"{long[:47]}...", {}),
        ("FAIL:no names today", "FAIL:no names today", {}),
        (NAMED, NAMED, {"auto_generate_name": False}),
    ):
        await app.wait("/chat-messages", {"query": query, **more})
        listed = (await app("GET", "/conversations?user=abc-123&sort_by=-created_at")).json()["data"]
        assert listed[0]["name"] == name


async def test_a_name_that_somebody_gave_stays(house: House) -> None:
    app = await app_of(house, "chat")
    conversation = (await app.wait("/chat-messages", {"query": NAMED})).json()["conversation_id"]
    path = f"/conversations/{conversation}/name"
    assert (await app("POST", path, {"name": "Mine", "user": "abc-123"})).json()["name"] == "Mine"
    assert await name_of(app, conversation) == "Mine"
    again = await app("POST", path, {"auto_generate": True, "user": "abc-123"})
    assert (again.status_code, again.json()["name"]) == (200, "Gripper prices")


async def test_a_conversation_opens_with_the_apps_words(house: House) -> None:
    form = [{"text-input": {"label": "Name", "variable": "name", "required": False}}]
    words = {"opening_statement": "Hello {{name}}, I am {{nobody}}.", "suggested_questions": ["Who are you?"]}
    app = await house.app("chat", {"pre_prompt": "", "user_input_form": form, **words})
    parameters = (await app("GET", "/parameters")).json()
    assert (parameters["opening_statement"], parameters["suggested_questions"]) == (*words.values(),)
    assert parameters["retriever_resource"] == {"enabled": True}
    await app.wait("/chat-messages", {"query": "hi", "inputs": {"name": "Ada"}})
    (conversation,) = (await app("GET", "/conversations?user=abc-123")).json()["data"]
    assert conversation["introduction"] == "Hello Ada, I am {{nobody}}."


@pytest.mark.parametrize("mode", MODES)
async def test_questions_that_may_come_next(house: House, openai: Any, mode: str) -> None:
    app = await app_of(house, mode, SUGGESTS)
    body = {"query": 'REPLY:["How much?", "How many?", "How soon?"]', "auto_generate_name": False}
    message = (await app.wait("/chat-messages", body)).json()["id"]
    answer = await app("GET", f"/messages/{message}/suggested?user=abc-123")
    assert (answer.status_code, answer.json()) == (
        200,
        {"result": "success", "data": ["How much?", "How many?", "How soon?"]},
    )
    told = openai.requests[-1].json()["messages"][-1]["content"]
    assert told.startswith("Human: REPLY:")


async def test_suggestions_that_are_refused(house: House) -> None:
    app = await app_of(house, "chat", SUGGESTS)
    message = (await app.wait("/chat-messages", {"query": "REPLY:no list"})).json()["id"]
    assert (await app("GET", f"/messages/{message}/suggested?user=abc-123")).json()["data"] == []
    nobody = await app("GET", f"/messages/{message}/suggested")
    assert (nobody.status_code, nobody.json()["message"]) == (400, "Arg user must be provided.")
    for path in (f"/messages/{message}/suggested?user=other", f"/messages/{uuid.uuid4()}/suggested?user=abc-123"):
        missing = await app("GET", path)
        assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    off = await app_of(house, "chat")
    message = (await off.wait("/chat-messages", {"query": "hi"})).json()["id"]
    refused = await off("GET", f"/messages/{message}/suggested?user=abc-123")
    assert (refused.status_code, refused.json()["code"]) == (400, "bad_request")
    assert refused.json()["message"] == "Suggested Questions Is Disabled."
    completion = await house.app("completion", {"pre_prompt": "hi", **SUGGESTS})
    wrong = await completion("GET", f"/messages/{message}/suggested?user=abc-123")
    assert (wrong.status_code, wrong.json()["code"]) == (400, "not_chat_app")


async def test_a_model_that_nobody_chose_is_spared(workshop: Workshop) -> None:
    house = await workshop.open("Without credentials", models=False)
    free = await house.workspace.providers.default(ModelType.LLM)
    assert free is not None
    assert free.free
    assert await house.workspace.asides.name(NAMED) is None
    with_credentials = await (await workshop.open("With credentials")).workspace.providers.default(ModelType.LLM)
    assert with_credentials is not None
    assert (with_credentials.provider, with_credentials.free) == ("openai", False)
