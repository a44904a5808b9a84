"""Answered runs in real worker processes, which are killed."""

from __future__ import annotations

import asyncio
import json
import secrets
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dify_host.jobs.relay import announce_jobs
from dify_kernel.graph.events import NodeStarted, RunFinished, RunResumed

from ..service.service_house import CHAT_MODEL, House, graph, node
from .forms import ask
from .http_forms import Desk

CHILD = Path(__file__).parents[1] / "triggers" / "worker_child.py"
Start = Callable[[], subprocess.Popen[bytes]]


@pytest.fixture
async def queues(house: House) -> AsyncIterator[str]:
    """The name of this test's queues; commits of the platform are announced on them."""
    name = f"test-{secrets.token_hex(6)}"
    client = house.platform.redis
    announce_jobs(house.platform.db, client, namespace=name)
    yield name
    async for key in client.scan_iter(f"{name}:*"):
        await client.delete(key)


@pytest.fixture
def start(env: dict[str, str], queues: str) -> Iterator[Start]:
    """A function that starts a worker process; all are killed at the end."""
    made: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        made.append(subprocess.Popen([sys.executable, str(CHILD), json.dumps(env), queues]))
        return made[-1]

    yield start
    for process in made:
        process.kill()
        process.wait()


def slow_after(prompt: str) -> dict[str, Any]:
    """start -> ask -> a model that takes its time -> end."""
    body = graph(
        node("start", "start", variables=[]),
        ask(form_content="Go on?"),
        node("llm", "llm", model=CHAT_MODEL, prompt_template=[{"role": "user", "text": prompt}]),
        node("end", "end", outputs=[{"variable": "comment", "value_selector": ["ask", "comment"]}]),
    )
    body["edges"][1]["sourceHandle"] = "approve"
    return body


async def until(desk: Desk, seen: Callable[[list[Any]], bool], *, seconds: float = 60) -> list[Any]:
    """The log of the run once it looks like that."""
    deadline = time.monotonic() + seconds
    while True:
        events = await desk.platform.run_logs.load(desk.run_id)
        if seen(events):
            return events
        assert time.monotonic() < deadline, [type(event).__name__ for event in events]
        await asyncio.sleep(0.05)


def ended(events: list[Any]) -> bool:
    return isinstance(events[-1], RunFinished)


async def test_answers_of_many_go_on_in_workers_though_one_is_killed(house: House, start: Start) -> None:
    """A worker is killed while it is at work on answered runs; each of them ends all the same, and once."""
    desk = await Desk.open(house, slow_after("TOKENS:30 DELAY:20"))
    runs = []
    for _ in range(4):
        asked = await desk.ask(inputs={})
        runs.append((desk.said, asked["form_token"]))
    first = start()
    for number, (_, token) in enumerate(runs):
        assert (await desk.answer(token, comment=str(number))).status_code == 200
    desk.said = runs[0][0]
    await until(desk, lambda events: any(isinstance(e, NodeStarted) and e.node_id == "llm" for e in events))
    first.kill()
    first.wait()
    start()
    for number, (said, _) in enumerate(runs):
        desk.said = said
        events = await until(desk, ended)
        assert (events[-1].status, events[-1].outputs) == ("succeeded", {"comment": str(number)})
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        answered = [event for event in events if isinstance(event, RunResumed) and event.answers]
        assert len(answered) == 1


async def test_an_answer_that_came_while_no_worker_was_there(house: House, start: Start) -> None:
    desk = await Desk.open(house, slow_after("REPLY:ok"))
    token = (await desk.ask(inputs={}))["form_token"]
    assert (await desk.answer(token, comment="patient")).status_code == 200
    start()
    events = await until(desk, ended)
    assert events[-1].outputs == {"comment": "patient"}
