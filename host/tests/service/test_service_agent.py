"""Agent apps as clients see them: thoughts, tools that run, what is listed afterwards, what is refused."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from .service_house import House, Key, names

TIME = {
    "enabled": True,
    "isDeleted": False,
    "notAuthor": False,
    "provider_id": "time",
    "provider_name": "time",
    "provider_type": "builtin",
    "tool_label": "Weekday",
    "tool_name": "weekday",
    "tool_parameters": {},
}
ASK = 'TOOL:weekday {"year": 2000, "month": 1, "day": 1}'


def configured(strategy: str = "function_call", *tools: dict[str, Any], **fields: Any) -> dict[str, Any]:
    mode = {"enabled": True, "strategy": strategy, "max_iteration": 3, "prompt": None, "tools": list(tools)}
    return {"pre_prompt": "You are brief.", "agent_mode": mode, **fields}


@pytest.fixture
async def agent(house: House) -> Key:
    return await house.app("agent-chat", configured("function_call", TIME))


async def test_an_agent_calls_a_tool_and_answers(agent: Key) -> None:
    found = await agent.stream("/chat-messages", {"query": ASK})
    assert names(found) == ["agent_thought", "agent_message", "agent_thought", "message_end"]
    thoughts = [item for item in found if item["event"] == "agent_thought"]
    assert [item["position"] for item in thoughts] == [1, 1, 1, 2, 2]
    done, last = thoughts[2], thoughts[-1]
    assert done["tool"] == "weekday"
    assert json.loads(done["tool_input"]) == {"weekday": {"year": 2000, "month": 1, "day": 1}}
    observed = json.loads(done["observation"])["weekday"]
    assert "Saturday" in observed
    said = "".join(item["answer"] for item in found if item["event"] == "agent_message")
    assert said == last["thought"] == f"ECHO({observed})"
    assert found[-1]["metadata"]["usage"]["total_tokens"] > 0


async def test_the_thoughts_are_listed_with_the_message(agent: Key) -> None:
    found = await agent.stream("/chat-messages", {"query": ASK})
    conversation_id = found[0]["conversation_id"]
    page = await agent("GET", f"/messages?conversation_id={conversation_id}&user=abc-123")
    (message,) = page.json()["data"]
    final = {item["id"]: item for item in found if item["event"] == "agent_thought"}
    assert [item["id"] for item in message["agent_thoughts"]] == list(final)
    first = message["agent_thoughts"][0]
    assert set(first) == {
        *("id", "chain_id", "message_id", "position", "thought", "tool", "tool_labels", "tool_input", "created_at"),
        *("observation", "files"),
    }
    uuid.UUID(first["id"])
    assert (first["message_id"], first["chain_id"], first["files"]) == (message["id"], None, [])
    for name in ("tool", "tool_input", "observation", "tool_labels", "position"):
        assert first[name] == final[first["id"]][name]
    said = "".join(item["answer"] for item in found if item["event"] == "agent_message")
    assert message["answer"] == said


async def test_react_says_its_answer_alone(house: House) -> None:
    app = await house.app("agent-chat", configured("react", TIME))
    query = 'REPLY:Thought: hm\nAction: {"action": "weekday", "action_input": {"year": 2000, "month": 1, "day": 1}}'
    found = await app.stream("/chat-messages", {"query": query})
    thoughts = {item["id"]: item for item in found if item["event"] == "agent_thought"}
    first, _ = thoughts.values()
    assert (first["thought"], first["tool"]) == ("hm", "weekday")
    assert "Saturday" in json.loads(first["observation"])["weekday"]
    said = "".join(item["answer"] for item in found if item["event"] == "agent_message")
    assert said == "ECHO("  # the observation is echoed, up to the stop word that it begins with


@pytest.mark.parametrize("mode", ["agent-chat", "chat"])
async def test_an_agent_does_not_answer_in_one_piece(house: House, mode: str) -> None:
    app = await house.app(mode, configured("function_call", TIME))
    answer = await app.wait("/chat-messages", {"query": "hi"})
    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid_param"
    assert answer.json()["message"] == "Agent Chat App does not support blocking mode"


async def test_an_old_router_app_is_a_chat(house: House) -> None:
    app = await house.app("agent-chat", configured("router"))
    found = await app.stream("/chat-messages", {"query": "REPLY:hello there"})
    assert names(found) == ["message", "message_end"]


async def test_a_tool_that_nothing_offers_is_named_by_the_run(house: House) -> None:
    app = await house.app(
        "agent-chat", configured("function_call", TIME, {**TIME, "provider_id": "dalle"}), publish=False
    )
    found = await app.stream("/chat-messages", {"query": "hi"})
    assert names(found) == ["error"]
    assert "dalle/weekday" in found[0]["message"]


async def test_the_second_message_knows_the_first(agent: Key, openai: Any) -> None:
    first = await agent.stream("/chat-messages", {"query": "My name is Ada"})
    await agent.stream("/chat-messages", {"query": "And mine?", "conversation_id": first[0]["conversation_id"]})
    told = [(item["role"], item["content"]) for item in openai.requests[-1].json()["messages"]]
    assert told == [
        ("system", "You are brief."),
        ("user", "My name is Ada"),
        ("assistant", "ECHO(My name is Ada)"),
        ("user", "And mine?"),
    ]
