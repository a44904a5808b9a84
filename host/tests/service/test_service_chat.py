"""Chats and completions as clients see them: answers, events, conversations that go on, what a user may see."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from .service_house import House, Key, answers_with, graph, names, node

USAGE = {
    *("prompt_tokens", "prompt_unit_price", "prompt_price_unit", "prompt_price", "completion_tokens"),
    *("completion_unit_price", "completion_price_unit", "completion_price", "total_tokens", "total_price", "currency"),
    *("latency", "time_to_first_token", "time_to_generate"),
}
MEMORY = {"window": {"enabled": False, "size": 10}, "query_prompt_template": "{{#sys.query#}}"}


@pytest.fixture
async def flow(house: House) -> Key:
    return await house.app("advanced-chat", answers_with())


@pytest.fixture
async def plain(house: House) -> Key:
    return await house.app("chat", {"pre_prompt": "You are brief."})


@pytest.fixture
async def completion(house: House) -> Key:
    field = {"paragraph": {"label": "Query", "variable": "query", "required": True}}
    return await house.app("completion", {"pre_prompt": "{{query}}", "user_input_form": [field]})


def check_usage(usage: dict[str, Any]) -> None:
    assert set(usage) == USAGE
    for name in ("prompt_unit_price", "prompt_price", "completion_price", "total_price"):
        assert isinstance(usage[name], str)
        float(usage[name])
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0
    assert usage["currency"] == "USD"


@pytest.mark.parametrize("mode", ["advanced-chat", "chat"])
async def test_blocking(house: House, mode: str) -> None:
    app = await house.app(mode, answers_with() if mode == "advanced-chat" else {"pre_prompt": "Be brief."})
    answer = await app.wait("/chat-messages", {"query": "REPLY:The answer is 42."})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert list(body) == [
        *("event", "task_id", "id", "message_id", "conversation_id", "mode", "answer", "metadata", "created_at"),
    ]
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert (body["event"], body["mode"], body["answer"]) == ("message", mode, "The answer is 42.")
    assert body["id"] == body["message_id"]
    uuid.UUID(body["conversation_id"])
    assert list(body["metadata"]) == ["annotation_reply", "retriever_resources", "usage"]
    assert body["metadata"]["annotation_reply"] is None
    assert body["metadata"]["retriever_resources"] == []
    check_usage(body["metadata"]["usage"])


async def test_advanced_chat_streams_graph_and_text(flow: Key) -> None:
    found = await flow.stream("/chat-messages", {"query": "REPLY:The answer is forty-two."})
    assert names(found) == [
        *("workflow_started", "node_started", "node_finished", "node_started", "message", "node_finished"),
        *("node_started", "node_finished", "workflow_finished", "message_end"),
    ]
    first = found[0]
    for item in found:
        for name in ("conversation_id", "message_id", "created_at", "task_id"):
            assert item[name] == first[name], (item["event"], name)
    pieces = [item for item in found if item["event"] == "message"]
    assert "".join(item["answer"] for item in pieces) == "The answer is forty-two."
    assert pieces[0]["id"] == first["message_id"]
    assert pieces[0]["from_variable_selector"] == ["llm", "text"]
    inputs = first["data"]["inputs"]
    assert inputs["sys.query"] == "REPLY:The answer is forty-two."
    assert inputs["sys.dialogue_count"] == 1
    end = found[-1]
    assert (end["id"], end["files"]) == (first["message_id"], None)
    assert list(end["metadata"]) == ["annotation_reply", "retriever_resources", "usage"]
    check_usage(end["metadata"]["usage"])


async def test_plain_chat_streams_text_alone(plain: Key) -> None:
    found = await plain.stream("/chat-messages", {"query": "REPLY:The answer is forty-two."})
    assert names(found) == ["message", "message_end"]
    assert "".join(item["answer"] for item in found[:-1]) == "The answer is forty-two."
    assert set(found[0]) == {
        *("event", "conversation_id", "message_id", "created_at", "task_id", "id", "answer", "from_variable_selector"),
    }
    assert found[0]["from_variable_selector"] is None
    assert set(found[-1]) == {
        *("event", "conversation_id", "message_id", "created_at", "task_id", "id", "metadata", "files"),
    }


async def test_completion(completion: Key) -> None:
    answer = await completion.wait("/completion-messages", {"inputs": {"query": "REPLY:Done."}})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert list(body) == ["event", "task_id", "id", "message_id", "mode", "answer", "metadata", "created_at"]
    assert (body["mode"], body["answer"]) == ("completion", "Done.")
    found = await completion.stream("/completion-messages", {"inputs": {"query": "REPLY:All is done."}})
    assert names(found) == ["message", "message_end"]
    assert "".join(item["answer"] for item in found[:-1]) == "All is done."
    assert all("conversation_id" not in item for item in found)


@pytest.mark.parametrize("kind", ["flow", "plain"])
async def test_a_conversation_goes_on(kind: str, house: House, openai: Any) -> None:
    body = answers_with(memory=MEMORY) if kind == "flow" else {"pre_prompt": "Be brief."}
    app = await house.app("advanced-chat" if kind == "flow" else "chat", body)
    first = (await app.wait("/chat-messages", {"query": "My name is Ada"})).json()
    second = (
        await app.wait("/chat-messages", {"query": "What is my name?", "conversation_id": first["conversation_id"]})
    ).json()
    assert second["conversation_id"] == first["conversation_id"]
    sent = openai.requests[-1].json()["messages"]
    told = [message["content"] for message in sent]
    assert any("My name is Ada" in text for text in told)
    assert first["answer"] in told
    listed = (await app("GET", "/conversations?user=abc-123")).json()
    assert [item["id"] for item in listed["data"]] == [first["conversation_id"]]
    messages = (await app("GET", f"/messages?user=abc-123&conversation_id={first['conversation_id']}")).json()["data"]
    assert [item["query"] for item in messages] == ["My name is Ada", "What is my name?"]


async def test_conversation_ids_are_checked(flow: Key) -> None:
    unknown = await flow.wait("/chat-messages", {"query": "hi", "conversation_id": str(uuid.uuid4())})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    assert unknown.json()["message"].startswith("Conversation Not Exists.")
    malformed = await flow.wait("/chat-messages", {"query": "hi", "conversation_id": "seven"})
    assert (malformed.status_code, malformed.json()["code"]) == (400, "invalid_param")
    for blank in ("", "  ", None):
        assert (await flow.wait("/chat-messages", {"query": "hi", "conversation_id": blank})).status_code == 200


async def test_a_conversation_belongs_to_its_user(flow: Key) -> None:
    mine = (await flow.wait("/chat-messages", {"query": "hi"})).json()
    intruder = await flow.wait(
        "/chat-messages", {"query": "hi", "conversation_id": mine["conversation_id"], "user": "somebody-else"}
    )
    assert intruder.status_code == 404
    assert (await flow("GET", "/conversations?user=somebody-else")).json()["data"] == []
    theirs = f"/messages?user=somebody-else&conversation_id={mine['conversation_id']}"
    assert (await flow("GET", theirs)).status_code == 404
    rated = await flow("POST", f"/messages/{mine['id']}/feedbacks", {"rating": "like", "user": "somebody-else"})
    assert rated.status_code == 404


async def test_failures(flow: Key, plain: Key) -> None:
    answer = await flow.wait("/chat-messages", {"query": "FAIL:no such luck"})
    body = answer.json()
    assert (answer.status_code, body["code"]) == (400, "invalid_param")
    assert body["message"].startswith("Run failed: ")
    found = await flow.stream("/chat-messages", {"query": "FAIL:no such luck"})
    assert names(found)[-3:] == ["node_finished", "workflow_finished", "error"]
    assert (found[-2]["data"]["status"], found[-1]["code"], found[-1]["status"]) == ("failed", "invalid_param", 400)
    assert "task_id" not in found[-1]
    assert found[-1]["message"].startswith("Run failed: ")
    answer = await plain.wait("/chat-messages", {"query": "FAIL:no such luck"})
    assert (answer.status_code, answer.json()["code"]) == (400, "completion_request_error")
    found = await plain.stream("/chat-messages", {"query": "FAIL:no such luck"})
    assert names(found) == ["error"]
    assert (found[0]["code"], found[0]["status"]) == ("completion_request_error", 400)


# -- conversations --------------------------------------------------------------------------------------------


async def test_conversations(flow: Key) -> None:
    ids = []
    for number in range(3):
        ids.append((await flow.wait("/chat-messages", {"query": f"Question {number}"})).json()["conversation_id"])
    page = (await flow("GET", "/conversations?user=abc-123&limit=2&sort_by=created_at")).json()
    assert (page["limit"], page["has_more"], [item["id"] for item in page["data"]]) == (2, True, ids[:2])
    assert set(page["data"][0]) == {
        *("id", "name", "inputs", "status", "introduction", "created_at", "updated_at"),
    }
    assert (page["data"][0]["name"], page["data"][0]["status"]) == ("Question 0", "normal")
    rest = (await flow("GET", f"/conversations?user=abc-123&last_id={ids[1]}&sort_by=created_at")).json()
    assert (rest["has_more"], [item["id"] for item in rest["data"]]) == (False, ids[2:])
    newest = (await flow("GET", "/conversations?user=abc-123")).json()["data"]
    assert [item["id"] for item in newest] == ids[::-1]
    unknown = await flow("GET", f"/conversations?user=abc-123&last_id={uuid.uuid4()}")
    assert unknown.status_code == 404
    assert unknown.json()["message"].startswith("Last Conversation Not Exists.")

    renamed = await flow("POST", f"/conversations/{ids[0]}/name", {"name": "About life", "user": "abc-123"})
    assert (renamed.status_code, renamed.json()["name"]) == (200, "About life")
    blank = await flow("POST", f"/conversations/{ids[0]}/name", {"name": " ", "user": "abc-123"})
    assert (blank.status_code, blank.json()["code"]) == (400, "invalid_param")
    again = await flow("POST", f"/conversations/{ids[0]}/name", {"auto_generate": True, "user": "abc-123"})
    assert again.json()["name"] == "Question 0"
    stranger = await flow("POST", f"/conversations/{ids[0]}/name", {"name": "Mine now", "user": "somebody-else"})
    assert stranger.status_code == 404

    kept = await flow("DELETE", f"/conversations/{ids[0]}", {"user": "somebody-else"})
    assert kept.status_code == 204
    assert len((await flow("GET", "/conversations?user=abc-123")).json()["data"]) == 3
    gone = await flow("DELETE", f"/conversations/{ids[0]}", {"user": "abc-123"})
    assert (gone.status_code, gone.content) == (204, b"")
    assert len((await flow("GET", "/conversations?user=abc-123")).json()["data"]) == 2


async def test_without_a_user_it_is_the_shared_anonymous_one(flow: Key) -> None:
    await flow.wait("/chat-messages", {"query": "hi", "user": "DEFAULT-USER"})
    assert len((await flow("GET", "/conversations")).json()["data"]) == 1


async def test_variables(house: House) -> None:
    variable_id = str(uuid.uuid4())
    declared = [
        {"id": variable_id, "name": "score", "value_type": "number", "value": 3, "description": "So far"},
        {"id": str(uuid.uuid4()), "name": "words", "value_type": "array[string]", "value": ["a"], "description": ""},
    ]
    app = await house.app("advanced-chat", answers_with(), conversation_variables=declared)
    conversation = (await app.wait("/chat-messages", {"query": "hi"})).json()["conversation_id"]
    path = f"/conversations/{conversation}/variables"
    listed = (await app("GET", f"{path}?user=abc-123")).json()
    assert (listed["limit"], listed["has_more"], len(listed["data"])) == (20, False, 2)
    shown = {item["name"]: item for item in listed["data"]}
    assert set(shown["score"]) == {"id", "name", "value_type", "value", "description", "created_at", "updated_at"}
    assert (shown["score"]["value"], shown["score"]["value_type"]) == ("3", "number")
    assert shown["words"]["value"] == "['a']"
    one = (await app("GET", f"{path}?user=abc-123&variable_name=SCO")).json()["data"]
    assert [item["name"] for item in one] == ["score"]
    bad_name = await app("GET", f"{path}?user=abc-123&variable_name=a%20b")
    assert (bad_name.status_code, bad_name.json()["params"]) == (400, "variable_name")
    score = f"{path}/{shown['score']['id']}"
    changed = await app("PUT", score, {"value": 9, "user": "abc-123"})
    assert (changed.status_code, changed.json()["value"]) == (200, "9")
    wrong = await app("PUT", score, {"value": "nine", "user": "abc-123"})
    assert (wrong.status_code, wrong.json()["code"]) == (400, "bad_request")
    assert wrong.json()["message"] == "Type mismatch: variable 'score' expects number, but got string type"
    unknown = await app("PUT", f"{path}/{uuid.uuid4()}", {"value": 9, "user": "abc-123"})
    assert unknown.status_code == 404
    assert (await app("PUT", score, {"value": 9, "user": "somebody-else"})).status_code == 404


# -- messages -------------------------------------------------------------------------------------------------


async def test_messages_and_feedback(flow: Key) -> None:
    first = (await flow.wait("/chat-messages", {"query": "REPLY:1"})).json()
    ids = [first["id"]]
    for number in (2, 3):
        body = {"query": f"REPLY:{number}", "conversation_id": first["conversation_id"]}
        ids.append((await flow.wait("/chat-messages", body)).json()["id"])
    path = f"/messages?user=abc-123&conversation_id={first['conversation_id']}"
    page = (await flow("GET", f"{path}&limit=2")).json()
    assert (page["limit"], page["has_more"], [item["id"] for item in page["data"]]) == (2, True, ids[1:])
    assert set(page["data"][0]) == {
        *("id", "conversation_id", "parent_message_id", "inputs", "query", "answer", "feedback"),
        *("retriever_resources", "created_at", "agent_thoughts", "message_files", "status", "error"),
    }
    assert (page["data"][0]["answer"], page["data"][0]["feedback"], page["data"][0]["status"]) == ("2", None, "normal")
    older = (await flow("GET", f"{path}&first_id={ids[1]}")).json()
    assert (older["has_more"], [item["id"] for item in older["data"]]) == (False, ids[:1])
    assert (await flow("GET", f"{path}&first_id={uuid.uuid4()}")).json()["message"].startswith("First Message Not Ex")

    async def rate(rating: str | None, message_id: str = ids[0]) -> Any:
        body = {"rating": rating, "content": "because", "user": "abc-123"}
        return await flow("POST", f"/messages/{message_id}/feedbacks", body)

    nothing = await rate(None)
    assert (nothing.status_code, nothing.json()["code"]) == (400, "invalid_param")
    assert (await rate("like")).json() == {"result": "success"}
    assert (await rate("dislike")).status_code == 200
    assert (await rate("meh")).status_code == 400
    assert (await rate("like", str(uuid.uuid4()))).json()["message"].startswith("Message Not Exists.")
    shown = (await flow("GET", path)).json()["data"][0]
    assert shown["feedback"] == {"rating": "dislike"}
    (given,) = (await flow("GET", "/app/feedbacks")).json()["data"]
    assert set(given) == {
        *("id", "app_id", "conversation_id", "message_id", "rating", "content", "from_source", "from_end_user_id"),
        *("from_account_id", "created_at", "updated_at"),
    }
    assert (given["rating"], given["content"], given["from_source"]) == ("dislike", "because", "user")
    assert "T" in given["created_at"]
    assert (await rate(None)).status_code == 200
    assert (await flow("GET", "/app/feedbacks")).json() == {"data": []}


async def test_a_failed_message_is_kept(flow: Key) -> None:
    await flow.wait("/chat-messages", {"query": "FAIL:no such luck"})
    (conversation,) = (await flow("GET", "/conversations?user=abc-123")).json()["data"]
    (message,) = (await flow("GET", f"/messages?user=abc-123&conversation_id={conversation['id']}")).json()["data"]
    assert message["status"] == "error"
    assert "no such luck" in message["error"]


async def test_a_fixed_answer_needs_no_model(house: House) -> None:
    app = await house.app(
        "advanced-chat",
        graph(node("start", "start", variables=[]), node("answer", "answer", answer="You said {{#sys.query#}}.")),
    )
    found = await app.stream("/chat-messages", {"query": "hello"})
    assert "".join(item["answer"] for item in found if item["event"] == "message") == "You said hello."
    assert found[-1]["event"] == "message_end"
