"""Readers of a run: every event in order, silence told apart from the end, and no reader holds another up."""

from __future__ import annotations

import asyncio

from dify_host.runs.handle import RunHandle
from dify_kernel.contracts.model import Usage
from dify_kernel.contracts.node import RunInfo
from dify_kernel.graph.engine import RunOutcome
from dify_kernel.graph.events import Event, RunFinished, StreamChunk


def handle() -> RunHandle:
    return RunHandle(RunInfo(run_id="r", tenant_id="t", app_id="a", workflow_id="w", user_id="u"), user_id="u")


def chunk(number: int) -> StreamChunk:
    return StreamChunk(seq=1, offset=number, selector=("llm", "text"), text=str(number))


async def end(run: RunHandle) -> None:
    """The run's task ends."""

    async def outcome() -> RunOutcome:
        return RunOutcome(event=RunFinished(status="succeeded"), usage=Usage(), resources=[])

    task = asyncio.create_task(outcome())
    await task
    run.finish(task)


async def read(run: RunHandle, *, idle: float | None = None) -> list[list[Event]]:
    return [batch async for batch in run.follow(idle=idle)]


async def test_every_reader_gets_every_event_from_the_first_on() -> None:
    run = handle()
    early = asyncio.create_task(read(run))
    await asyncio.sleep(0)
    sent = [chunk(number) for number in range(100)]
    for at, event in enumerate(sent):
        run.publish(event)
        if at % 7 == 0:
            await asyncio.sleep(0)
    late = asyncio.create_task(read(run))
    await end(run)
    for reader in (early, late):
        assert [event for batch in await reader for event in batch] == sent


async def test_silence_gives_empty_batches_and_an_event_ends_it() -> None:
    run = handle()
    batches = run.follow(idle=0.01)
    assert await anext(batches) == []
    assert await anext(batches) == []
    run.publish(chunk(1))
    assert await anext(batches) == [chunk(1)]
    assert await anext(batches) == []
    await batches.aclose()


async def test_without_idle_silence_gives_nothing() -> None:
    run = handle()
    batches = run.follow()
    waiting = asyncio.ensure_future(anext(batches))
    done, _ = await asyncio.wait((waiting,), timeout=0.05)
    assert not done
    run.publish(chunk(1))
    assert await waiting == [chunk(1)]


async def test_events_that_keep_coming_are_no_silence() -> None:
    run = handle()
    reader = asyncio.create_task(read(run, idle=0.5))
    for number in range(20):
        run.publish(chunk(number))
        await asyncio.sleep(0.03)
    await end(run)
    assert [] not in await reader


async def test_a_reader_that_leaves_is_forgotten() -> None:
    run = handle()
    batches = run.follow(idle=0.01)
    assert await anext(batches) == []
    await batches.aclose()
    run.publish(chunk(1))
    await end(run)
    assert await read(run) == [[chunk(1)]]
