"""From a request to the end of its run, by real worker processes."""

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
import redis.asyncio as redis
from dify_host.jobs.relay import announce_jobs

from .trigger_house import TriggerHouse, end, graph, webhook

CHILD = Path(__file__).with_name("worker_child.py")
Start = Callable[[], subprocess.Popen[bytes]]
THREADS = 2  # of a child: so many runs can be under way when it is killed
TEXT = [{"name": "a", "type": "string", "required": True}]


@pytest.fixture
async def queues(house: TriggerHouse) -> AsyncIterator[str]:
    """The name of this test's queues; commits of the platform are announced on them."""
    name = f"test-{secrets.token_hex(6)}"
    client: redis.Redis = house.platform.redis
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


async def settled(house: TriggerHouse, count: int, *, seconds: float = 60) -> list[Any]:
    """The trigger log, once so many of its entries have ended."""
    deadline = time.monotonic() + seconds
    while True:
        logs = await house.logs()
        if sum(log.status == "succeeded" for log in logs) >= count:
            return logs
        assert time.monotonic() < deadline, [(log.status, log.error) for log in logs]
        await asyncio.sleep(0.05)


async def test_every_request_is_one_run_by_any_of_two_workers(house: TriggerHouse, start: Start) -> None:
    start(), start()
    app_id = await house.app(graph((webhook(body=TEXT), end("end", a=("hook", "a")))))
    webhook_id = await house.webhook_id(app_id)

    answers = await asyncio.gather(*(house.call(webhook_id, json={"a": str(number)}) for number in range(30)))
    assert {answer.status_code for answer in answers} == {200}
    logs = await settled(house, 30)

    assert sorted(int(log.outputs["a"]) for log in logs) == list(range(30))
    assert {run.id for run in await house.runs()} == {log.workflow_run_id for log in logs}
    assert len(await house.runs()) == 30


async def test_what_a_killed_worker_took_is_lost_for_nobody(house: TriggerHouse, start: Start) -> None:
    """Each request has its one run in the end: one that was under way is taken up by the sweep of lost runs."""
    first = start()
    app_id = await house.app(graph((webhook(body=TEXT), end("end", a=("hook", "a")))))
    webhook_id = await house.webhook_id(app_id)
    await house.call(webhook_id, json={"a": "0"})
    await settled(house, 1)

    calls = [house.call(webhook_id, json={"a": str(number)}) for number in range(1, 20)]
    await asyncio.gather(*calls[:10])
    first.kill()
    await asyncio.gather(*calls[10:])
    start()

    deadline = time.monotonic() + 60
    begun: set[str] = set()
    logs: list[Any] = []
    while not logs or begun != {log.workflow_run_id for log in logs}:
        assert time.monotonic() < deadline, [(log.status, log.error) for log in logs]
        await asyncio.sleep(0.05)
        logs, begun = await house.logs(), {run.id for run in await house.runs()}
    assert len(logs) == len(await house.runs()) == 20
    ended = [log for log in logs if log.status == "succeeded"]
    assert len(ended) >= 20 - 2 * THREADS
    assert len({log.outputs["a"] for log in ended}) == len(ended)
