"""Clients that lose their connection take the stream up again by the id of the last event that they saw."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import httpx
import msgspec
import pytest

from .service_house import House, Key

Read = list[tuple[str, dict[str, Any]]]


async def read(answer: httpx.Response, *, most: int = 10**6) -> Read:
    """(id, event) as a client of server-sent events reads them, up to so many."""
    found: Read = []
    last_id = ""
    async for line in answer.aiter_lines():
        if line.startswith("id: "):
            last_id = line.removeprefix("id: ")
        elif line.startswith("data: "):
            found.append((last_id, msgspec.json.decode(line.removeprefix("data: "))))
            if len(found) >= most:
                break
    await answer.aclose()
    return found


def body(query: str, **more: Any) -> dict[str, Any]:
    return {"inputs": {}, "query": query, "user": "abc-123", "response_mode": "streaming", **more}


async def streamed(key: Key, query: str) -> httpx.Response:
    request = key.web.build_request("POST", "/v1/chat-messages", json=body(query), headers=key.headers)
    answer = await key.web.send(request, stream=True)
    assert answer.status_code == 200
    return answer


async def again(key: Key, task_id: str, last: str = "", *, user: str = "abc-123", **query: str) -> httpx.Response:
    headers = {**key.headers, **({"Last-Event-ID": last} if last else {})}
    params = {"user": user, **query}
    request = key.web.build_request("GET", f"/v1/workflow/{task_id}/events", params=params, headers=headers)
    return await key.web.send(request, stream=True)


def text(found: Read) -> str:
    shown = ""
    for _, event in found:
        if event["event"] == "message":
            shown += event["answer"]
        elif event["event"] == "message_replace":
            shown = event["answer"]
    return shown


@pytest.mark.parametrize("seen", [1, 3, 8, 15])
async def test_nothing_is_missing_and_nothing_comes_twice(slow: Key, seen: int) -> None:
    before = await read(await streamed(slow, "TOKENS:20 DELAY:20"), most=seen)
    last, event = before[-1]
    after = await read(await again(slow, event["task_id"], last))
    names = [name["event"] for _, name in before + after]
    assert text(before + after) == "".join(f"word{n:03d} " for n in range(20))
    assert names[0] == "workflow_started"
    assert names[-2:] == ["workflow_finished", "message_end"]
    ids = [name for name, _ in before + after]
    assert len(set(ids)) == len(ids)
    whole = await read(await again(slow, event["task_id"], include_state_snapshot="true"))
    assert [name["event"] for _, name in whole] == names
    assert [event for _, event in whole] == [event for _, event in before + after]


async def test_a_run_that_is_over_shows_its_end(slow: Key) -> None:
    whole = await read(await streamed(slow, "REPLY:a b c"))
    task_id = whole[0][1]["task_id"]
    found = await read(await again(slow, task_id))
    assert [event["event"] for _, event in found] == ["workflow_finished", "message_end"]
    assert found[-1][1] == whole[-1][1]
    assert await read(await again(slow, task_id, last=whole[-2][0])) == whole[-1:]
    assert await read(await again(slow, task_id, last=whole[-1][0])) == []


async def test_it_is_the_users_own_run(slow: Key, house: House) -> None:
    whole = await read(await streamed(slow, "REPLY:a"))
    task_id, last = whole[0][1]["task_id"], whole[0][0]
    for answer in (
        await again(slow, task_id, last, user="somebody else"),
        await again(slow, str(uuid.uuid4()), last),
    ):
        assert answer.status_code == 404
        await answer.aclose()
    bad = await again(slow, task_id, "not an id")
    assert bad.status_code == 400
    await bad.aread()
    assert bad.json()["code"] == "invalid_param"


async def test_a_client_that_comes_back_while_it_runs_goes_on_from_now(slow: Key) -> None:
    first = await read(await streamed(slow, "TOKENS:30 DELAY:20"), most=6)
    found = await asyncio.wait_for(read(await again(slow, first[0][1]["task_id"])), 20)
    assert "workflow_started" not in {event["event"] for _, event in found}
    assert found[-1][1]["event"] == "message_end"
