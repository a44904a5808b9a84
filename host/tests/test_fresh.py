"""Values that are read again after a while: one read for all who wait."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from dify_host.fresh import Fresh


class Source:
    """Counts reads; each waits for the gate, then gives its number or raises."""

    def __init__(self) -> None:
        self.reads = 0
        self.gate = asyncio.Event()
        self.error: Exception | None = None

    async def read(self) -> int:
        self.reads += 1
        number = self.reads
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return number


@pytest.fixture
def source() -> Source:
    return Source()


async def waiting(fresh: Fresh[str, int], source: Source, count: int = 3) -> list[asyncio.Task[int]]:
    tasks = [asyncio.create_task(fresh.get("a", source.read)) for _ in range(count)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_one_read_for_all_who_wait(source: Source) -> None:
    fresh: Fresh[str, int] = Fresh(8, 60)
    tasks = await waiting(fresh, source, 20)
    source.gate.set()
    assert await asyncio.gather(*tasks) == [1] * 20
    assert await fresh.get("a", source.read) == 1
    assert await fresh.get("b", source.read) == 2


async def test_an_error_goes_to_all_and_is_not_kept(source: Source) -> None:
    fresh: Fresh[str, int] = Fresh(8, 60)
    tasks = await waiting(fresh, source)
    source.error = KeyError("gone")
    source.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [KeyError] * 3
    source.error = None
    assert await fresh.get("a", source.read) == 2


async def test_a_waiter_that_leaves_does_not_disturb_the_others(source: Source) -> None:
    fresh: Fresh[str, int] = Fresh(8, 60)
    first, *others = await waiting(fresh, source)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    source.gate.set()
    assert first.cancelled()
    assert await asyncio.gather(*others) == [1, 1]
    assert source.reads == 1


async def test_when_all_leave_the_value_is_kept_all_the_same(source: Source) -> None:
    fresh: Fresh[str, int] = Fresh(8, 60)
    tasks = await waiting(fresh, source)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    source.gate.set()
    assert await fresh.get("a", source.read) == 1


async def test_what_is_dropped_during_its_read_is_read_anew(source: Source) -> None:
    fresh: Fresh[str, int] = Fresh(8, 60)
    before = await waiting(fresh, source)
    fresh.drop(lambda key, value: True)
    after = await waiting(fresh, source)
    source.gate.set()
    assert await asyncio.gather(*before) == [1, 1, 1]
    assert await asyncio.gather(*after) == [2, 2, 2]
    assert await fresh.get("a", source.read) == 2  # the older read did not overwrite it


async def test_an_error_after_a_drop_that_nobody_waits_for_is_no_noise(source: Source) -> None:
    noise: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: noise.append(context))
    fresh: Fresh[str, int] = Fresh(8, 60)
    (task,) = await waiting(fresh, source, 1)
    fresh.drop(lambda key, value: True)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    source.error = KeyError("gone")
    source.gate.set()
    for _ in range(4):
        await asyncio.sleep(0)
    assert noise == []


async def test_drop_forgets_what_fits_alone(source: Source) -> None:
    fresh: Fresh[str, int] = Fresh(8, 60)
    source.gate.set()
    assert [await fresh.get(key, source.read) for key in "ab"] == [1, 2]
    fresh.drop(lambda key, value: key == "a")
    assert [await fresh.get(key, source.read) for key in "ab"] == [3, 2]


async def test_old_values_are_read_again_and_the_oldest_go(source: Source) -> None:
    source.gate.set()
    stale: Fresh[str, int] = Fresh(8, 0)
    assert [await stale.get("a", source.read) for _ in range(3)] == [1, 2, 3]
    small: Fresh[str, int] = Fresh(2, 60)
    assert [await small.get(key, source.read) for key in "abc"] == [4, 5, 6]
    assert await small.get("c", source.read) == 6
    assert await small.get("a", source.read) == 7
