"""Streams over a real server: they arrive as they come, ping while nothing does, and may be left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
from dify_host.http import sse

from .service_house import CHAT_MODEL, House, Key, graph, node


def streamed(key: Key, query: str) -> httpx.Request:
    return started(key, "/chat-messages", {"query": query})


def started(key: Key, path: str, body: dict[str, Any]) -> httpx.Request:
    body = {"inputs": {}, "user": "abc-123", **body, "response_mode": "streaming"}
    return key.web.build_request("POST", f"/v1{path}", json=body, headers=key.headers)


async def read(answer: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    """The events as they come."""
    async for line in answer.aiter_lines():
        if line.startswith("data: "):
            yield msgspec.json.decode(line.removeprefix("data: "))


async def test_events_arrive_as_they_come(slow: Key) -> None:
    answer = await slow.web.send(streamed(slow, "TOKENS:40 DELAY:25"), stream=True)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
    loop, seen, blocks = asyncio.get_running_loop(), [], ""
    async for text in answer.aiter_text():
        seen.append(loop.time())
        blocks += text
    assert len(seen) > 10, "the pieces came together"
    assert seen[-1] - seen[0] > 0.4
    assert '"event":"message_end"' in blocks.split("\n\n")[-2]
    await answer.aclose()


async def test_pings_fill_the_silence(slow: Key, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "PING_EVERY", 0.05)
    answer = await slow.web.send(streamed(slow, "TOKENS:2 DELAY:400"), stream=True)
    text = "".join([part async for part in answer.aiter_text()])
    blocks = text.split("\n\n")
    assert blocks.count("event: ping") >= 2
    assert '"event":"message_end"' in blocks[-2]
    await answer.aclose()


async def test_a_run_goes_on_without_its_client(slow: Key, house: House) -> None:
    answer = await slow.web.send(streamed(slow, "TOKENS:20 DELAY:20"), stream=True)
    first = await anext(answer.aiter_text())
    await answer.aclose()
    event = msgspec.json.decode(first.partition("data: ")[2].partition("\n")[0])
    handle = house.platform.runs.get(event["task_id"])
    finished = await asyncio.wait_for(handle.wait(), 15)
    assert finished.status == "succeeded"
    listed = (await slow("GET", f"/messages?user=abc-123&conversation_id={event['conversation_id']}")).json()["data"]
    assert [item["answer"] for item in listed] == ["".join(f"word{n:03d} " for n in range(20))]


async def test_many_streams_at_once(slow: Key) -> None:
    async def one(number: int) -> str:
        answer = await slow.web.send(streamed(slow, f"REPLY:number {number}"), stream=True)
        text = "".join([part async for part in answer.aiter_text()])
        await answer.aclose()
        blocks = [block for block in text.split("\n\n") if block.startswith("data: ")]
        events = [msgspec.json.decode(block.removeprefix("data: ")) for block in blocks]
        return "".join(event["answer"] for event in events if event["event"] == "message")

    answers = await asyncio.gather(*(one(number) for number in range(20)))
    assert answers == [f"number {number}" for number in range(20)]


async def test_a_chat_is_stopped_by_its_own_user_alone(slow: Key) -> None:
    answer = await slow.web.send(streamed(slow, "TOKENS:400 DELAY:20"), stream=True)
    events = read(answer)
    task_id = (await anext(events))["task_id"]
    while (await anext(events))["event"] != "message":
        pass
    stranger = await slow("POST", f"/chat-messages/{task_id}/stop", {"user": "somebody-else"})
    assert (stranger.status_code, stranger.json()) == (200, {"result": "success"})
    for _ in range(3):
        assert (await anext(events))["event"] == "message"  # it goes on
    own = await slow("POST", f"/chat-messages/{task_id}/stop", {"user": "abc-123"})
    assert (own.status_code, own.json()) == (200, {"result": "success"})
    rest = [event async for event in events]
    assert [event["event"] for event in rest[-2:]] == ["workflow_finished", "message_end"]
    assert rest[-2]["data"]["status"] == "stopped"
    assert sum(event["event"] == "message" for event in rest) < 390


async def test_a_workflow_is_stopped(house: House, served: httpx.AsyncClient) -> None:
    made = await house.app(
        "workflow",
        graph(
            node("start", "start", variables=[]),
            node("llm", "llm", model=CHAT_MODEL, prompt_template=[{"role": "user", "text": "TOKENS:400 DELAY:20"}]),
            node("end", "end", outputs=[{"variable": "text", "value_selector": ["llm", "text"]}]),
        ),
    )
    app = Key(served, made.token, made.app_id)
    events = read(await served.send(started(app, "/workflows/run", {}), stream=True))
    task_id = (await anext(events))["task_id"]
    stopped = await app("POST", f"/workflows/tasks/{task_id}/stop", {"user": "somebody-else"})
    assert (stopped.status_code, stopped.json()) == (200, {"result": "success"})
    last = [event async for event in events][-1]
    assert (last["event"], last["data"]["status"]) == ("workflow_finished", "stopped")
