"""An app has as many runs as it may, whichever processes have them; one that is killed keeps no place for long."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import AsyncIterator, Callable

import pytest
import redis.asyncio as redis
from dify_host.db.types import new_id
from dify_host.runs.places import Places
from dify_host.runs.service import TooManyRequests
from dify_kernel.errors import BadInput, NotFound

from .run_house import RunHouse, chat_graph, graph, node

HOLDER = """
import asyncio, sys
import redis.asyncio as redis
from dify_host.runs.places import Places

async def main(url, app_id):
    places = Places(redis.Redis.from_url(url), lease=1.5)
    print(await places.take(app_id, "theirs", 1), flush=True)
    await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""
NAMED = graph(
    node("start", "start", variables=[{"variable": "name", "label": "Name", "type": "text-input", "required": True}]),
    *chat_graph()["nodes"][1:],
)


@pytest.fixture
async def bus(redis_url: str) -> AsyncIterator[redis.Redis]:
    bus = redis.Redis.from_url(redis_url)
    yield bus
    await bus.aclose()


@pytest.fixture
async def process(bus: redis.Redis) -> AsyncIterator[Callable[..., Places]]:
    """Makes the places of a process."""
    made: list[Places] = []

    def make(*, lease: float = 60.0) -> Places:
        made.append(Places(bus, lease=lease))
        return made[-1]

    yield make
    for places in made:
        await places.close()


async def free(places: Places, app_id: str, *, most: int = 1, seconds: float = 10.0) -> float:
    """Take a place as soon as there is one; how long that took."""
    began = time.monotonic()
    while not await places.take(app_id, new_id(), most):
        assert time.monotonic() - began < seconds, "no place became free"
        await asyncio.sleep(0.01)
    return time.monotonic() - began


async def test_an_app_has_as_many_runs_as_it_may(house: RunHouse, process: Callable[..., Places]) -> None:
    there = house.neighbour("there")
    services = [house.make_service(places=process()), there.make_service(places=process())]
    house.models.gate.clear()
    there.models.gate.clear()
    program, app = house.workflow(chat_graph()), await house.app("advanced-chat", max_active_requests=3)
    starts = [house.start(program, app, query="hi", service=services[number % 2]) for number in range(8)]
    started = await asyncio.gather(*starts, return_exceptions=True)
    refused = [item for item in started if isinstance(item, BaseException)]
    assert {type(item) for item in refused} == {TooManyRequests}
    assert len(refused) == 5
    error = refused[0]
    assert isinstance(error, TooManyRequests)
    assert (error.status, error.code, error.retryable) == (400, "invalid_param", True)
    assert error.description == (
        f"Too many requests. Please try again later. The current maximum concurrent requests allowed for {app.id} is 3."
    )
    await house.start(program, await house.app("advanced-chat"), query="another app has its own", service=services[0])
    house.models.gate.set()
    there.models.gate.set()
    await asyncio.gather(*[item.handle.wait() for item in started if not isinstance(item, BaseException)])
    await free(process(), app.id, most=1)
    await there.close()


async def test_an_app_is_bound_by_its_own_number_the_default_and_the_highest(house: RunHouse, bus: redis.Redis) -> None:
    for own, default, highest, most in ((5, 0, 0, 5), (5, 2, 0, 5), (None, 2, 0, 2), (5, 2, 3, 3), (None, 0, 3, 3)):
        places = Places(bus)
        service = house.make_service(places=places, default_active=default, max_active=highest)
        app = await house.app("advanced-chat", max_active_requests=own)
        for _ in range(most):
            assert await places.take(app.id, new_id(), most)
        with pytest.raises(TooManyRequests, match=f"is {most}\\."):
            await house.start(house.workflow(chat_graph()), app, query="hi", service=service)
        await places.close()


async def test_a_start_that_fails_takes_no_room(house: RunHouse, process: Callable[..., Places]) -> None:
    service = house.make_service(max_active=1, places=process())
    app = await house.app("advanced-chat")
    program = house.workflow(chat_graph())
    with pytest.raises(NotFound):
        await house.start(program, app, query="hi", conversation_id=new_id(), service=service)
    await free(process(), app.id)  # the one place, which is back soon
    with pytest.raises(TooManyRequests):
        await house.start(program, app, query="hi", service=service)
    with pytest.raises(BadInput, match="name"):
        await house.start(house.workflow(NAMED), app, service=service)


async def test_a_place_is_kept_as_long_as_its_process_lives(process: Callable[..., Places]) -> None:
    app_id, holder, other = new_id(), process(lease=0.3), process(lease=0.3)
    assert await holder.take(app_id, "ours", 1)
    until = time.monotonic() + 1.0
    while time.monotonic() < until:
        assert not await other.take(app_id, new_id(), 1)
        await asyncio.sleep(0.01)
    holder.give_back(app_id, "ours")
    assert await free(other, app_id) < 1.0


async def test_a_killed_process_has_no_place_when_its_lease_is_over(
    process: Callable[..., Places], redis_url: str
) -> None:
    app_id, places = new_id(), process(lease=1.5)
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, redis_url, app_id, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    assert (await child.stdout.readline()).strip() == b"True"
    assert not await places.take(app_id, new_id(), 1)
    child.kill()
    await child.wait()
    assert not await places.take(app_id, new_id(), 1)
    assert await free(places, app_id) < 3.0


async def test_a_run_that_goes_on_elsewhere_has_the_same_place(process: Callable[..., Places]) -> None:
    app_id, first, second = new_id(), process(), process()
    assert await first.take(app_id, "run", 1)
    assert await second.take(app_id, "run", 0)
    assert not await second.take(app_id, new_id(), 1)
    second.give_back(app_id, "run")
    await free(second, app_id)


async def test_without_redis_nobody_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    places = Places(redis.Redis(port=1))
    with caplog.at_level(logging.WARNING):
        assert await places.take("an-app", "run-1", 1)
        assert await places.take("an-app", "run-2", 1)
        await places.close()
    assert "runs of app an-app are not counted" in caplog.text
