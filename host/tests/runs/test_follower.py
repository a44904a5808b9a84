"""Readers anywhere: what a run says reaches them whole and once, whoever has the run and wherever they begin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest
import redis.asyncio as redis
from dify_host.db.errors import DatabaseUnavailable
from dify_host.db.types import new_id, utc_now
from dify_host.runs.follower import RunFollower, TextReplaced
from dify_host.runs.run_streams import Entry, Piece, RunStreams, stream_key
from dify_host.runs.tables import workflow_run_leases
from dify_kernel.graph.events import (
    Event,
    NodeFinished,
    RunFinished,
    RunPaused,
    RunResumed,
    RunStarted,
    StreamChunk,
    decode_event,
    encode_event,
)

from .run_house import RunHouse, chat_graph, graph, node


@pytest.fixture
async def bus(redis_url: str) -> AsyncIterator[redis.Redis]:
    bus = redis.Redis.from_url(redis_url)
    yield bus
    await bus.aclose()


@pytest.fixture
async def watched(house: RunHouse, bus: redis.Redis) -> AsyncIterator[RunHouse]:
    """A process that tells the others of its runs."""
    streams = RunStreams(bus, every=0.01)
    house.service = house.make_service(watcher=streams)
    yield house
    await house.service.close(grace=0)
    await streams.close()


def place(event: Event) -> tuple[int, int]:
    return event.seq, event.offset if isinstance(event, StreamChunk) else 0


def told(events: list[Event]) -> list[Event]:
    """Events as the log has them, without the time at which a piece of text was read."""
    timeless = [msgspec.structs.replace(e, at=0.0) if isinstance(e, StreamChunk) else e for e in events]
    return [decode_event(encode_event(event)) for event in timeless]


def logged(events: list[Event]) -> list[Event]:
    """What the log has of them."""
    return told([event for event in events if not isinstance(event, StreamChunk | TextReplaced)])


def text(events: list[Event]) -> str:
    """What a client that follows the rules has on its screen."""
    shown = ""
    for event in events:
        if isinstance(event, StreamChunk):
            shown += event.text
        elif isinstance(event, TextReplaced) or (isinstance(event, RunResumed) and event.cause == "recovered"):
            shown = event.text
    return shown


async def read(follower: RunFollower, run_id: str, **options: object) -> list[Event]:
    return [event async for batch in follower.follow(run_id, **options) for event in batch]  # type: ignore[arg-type]


async def test_a_reader_elsewhere_sees_what_one_here_sees(watched: RunHouse, bus: redis.Redis) -> None:
    program = watched.workflow(chat_graph())
    watched.models.gate.clear()
    started = await watched.start(program, await watched.app("advanced-chat"), query="REPLY:one two three four five")
    elsewhere = asyncio.create_task(read(RunFollower(bus, watched.store), started.handle.run.run_id))
    here = asyncio.create_task(collect(started.handle.follow()))
    await watched.until(started.handle.text)
    watched.models.gate.set()
    assert told(await elsewhere) == told(await here)
    assert text(await here) == "one two three four five"


async def collect(batches: AsyncIterator[list[Event]]) -> list[Event]:
    return [event async for batch in batches for event in batch]


async def test_a_reader_may_begin_behind_any_event(watched: RunHouse, bus: redis.Redis) -> None:
    program = watched.workflow(chat_graph())
    started = await watched.start(program, await watched.app("advanced-chat"), query="REPLY:one two three four five")
    whole = await collect(started.handle.follow())
    run_id = started.handle.run.run_id
    while not await bus.exists(stream_key(run_id)):
        await asyncio.sleep(0.005)
    follower = RunFollower(bus, watched.store)
    for at, event in enumerate(whole[:-1]):
        assert told(await read(follower, run_id, after=place(event))) == told(whole[at + 1 :])


async def test_without_the_stream_the_end_has_the_whole_text(watched: RunHouse, bus: redis.Redis) -> None:
    program = watched.workflow(chat_graph())
    started = await watched.start(program, await watched.app("advanced-chat"), query="REPLY:one two three four five")
    whole = await collect(started.handle.follow())
    run_id = started.handle.run.run_id
    while not await bus.exists(stream_key(run_id)):
        await asyncio.sleep(0.005)
    await bus.delete(stream_key(run_id))
    logged = [event for event in whole if not isinstance(event, StreamChunk)]
    found = await read(RunFollower(bus, watched.store), run_id)
    assert told([event for event in found if not isinstance(event, TextReplaced)]) == told(logged)
    assert text(found) == "one two three four five"
    assert isinstance(found[-1], RunFinished)


async def test_a_reader_goes_with_the_run_to_another_process(watched: RunHouse, bus: redis.Redis) -> None:
    watched.models.gate.clear()
    program = watched.workflow(chat_graph())
    started = await watched.start(program, await watched.app("advanced-chat"), query="REPLY:one two three four five")
    run_id = started.handle.run.run_id
    reader = asyncio.create_task(read(RunFollower(bus, watched.store), run_id))
    await watched.until(started.handle.text)
    async with watched.db.write() as conn:
        await conn.execute(workflow_run_leases.update().values(expires_at=utc_now() - timedelta(days=1)))
    other = watched.neighbour("there")
    streams = RunStreams(bus, every=0.01)
    other.service = other.make_service(watcher=streams)
    assert await other.recovery(bus).sweep() == 1
    found = await reader
    assert text(found) == "one two three four five"
    logged = [event.seq for event in found if not isinstance(event, StreamChunk | TextReplaced)]
    assert logged == list(range(1, len(logged) + 1))
    await other.close()
    await streams.close()


async def test_who_waited_here_gets_the_end_from_elsewhere(house: RunHouse, bus: redis.Redis) -> None:
    """The process loses the run while a client follows it there: the stream goes on, and so does who waits."""
    follower = RunFollower(bus, house.store)
    house.service = house.make_service(elsewhere=follower)
    house.models.gate.clear()
    program = house.workflow(chat_graph())
    started = await house.start(program, await house.app("advanced-chat"), query="REPLY:one two three four five")
    client = asyncio.create_task(collect(started.handle.follow()))
    waiter = asyncio.create_task(started.handle.wait())
    await house.until(started.handle.text)
    async with house.db.write() as conn:
        await conn.execute(workflow_run_leases.update().values(expires_at=utc_now() - timedelta(days=1)))
    other = house.neighbour("there")
    assert await other.recovery(bus).sweep() == 1
    await other.service.get(started.handle.run.run_id).wait()
    house.models.gate.set()
    found = await client
    assert text(found) == "one two three four five"
    assert (await waiter).status == "succeeded"
    assert found[-1] == await waiter
    await other.close()


async def test_a_pause_ends_the_stream_unless_it_is_to_go_on(watched: RunHouse, bus: redis.Redis) -> None:
    form = {"form_content": "ok?", "inputs": [], "timeout": 1, "timeout_unit": "day"}
    actions = [{"id": "yes", "title": "Yes", "button_style": "primary"}]
    program = watched.workflow(
        graph(
            node("start", "start", variables=[]),
            node("ask", "human-input", **form, user_actions=actions),
            node("answer", "answer", answer="done"),
            edges=[
                {"source": "start", "target": "ask"},
                {"source": "ask", "target": "answer", "sourceHandle": "yes"},
            ],
        )
    )
    started = await watched.start(program, await watched.app("advanced-chat"), query="q")
    run_id, follower = started.handle.run.run_id, RunFollower(bus, watched.store)
    assert (await started.handle.wait()).status == "paused"
    first = await read(follower, run_id)
    paused = first[-1]
    assert isinstance(paused, RunPaused)
    through = asyncio.create_task(read(follower, run_id, through_pauses=True))
    later = asyncio.create_task(read(follower, run_id, after=place(paused)))
    answers = {paused.waiting[0]: {"action": "yes", "inputs": {}}}
    resumed = await watched.service.take_up(run_id, answers=answers)
    assert resumed is not None
    assert (await resumed.handle.wait()).status == "succeeded"
    seen, whole, again = first + await later, await through, await read(follower, run_id)
    assert logged(seen) == logged(whole)
    assert logged(again) == logged(whole), "a pause that is over does not end a stream"
    # In pieces, or whole at the end: the log may come before the stream, which is written now and then.
    assert [text(each) for each in (seen, whole, again)] == ["done"] * 3
    assert text(await through) == "done"


async def test_silence_is_told(watched: RunHouse, bus: redis.Redis) -> None:
    watched.models.gate.clear()
    started = await watched.start(watched.workflow(chat_graph()), await watched.app("advanced-chat"), query="REPLY:x y")
    while not await bus.exists(stream_key(started.handle.run.run_id)):
        await asyncio.sleep(0.005)
    batches = RunFollower(bus, watched.store).follow(started.handle.run.run_id, idle=0.05)
    while await anext(batches):
        pass
    assert await anext(batches) == []
    await batches.aclose()  # type: ignore[attr-defined]


async def test_a_log_that_is_ahead_of_the_stream_costs_no_text(house: RunHouse, bus: redis.Redis) -> None:
    streams, run_id = RunStreams(bus, every=0.01), new_id()
    log = house.store.create(run_id, "here")
    start, end = RunStarted(seq=1), RunFinished(seq=3, status="succeeded", outputs={"answer": "one two"})
    ended = NodeFinished(seq=2, execution_id="e", node_id="n", node_type="llm", title="n", index=1)
    log.append(start)
    log.append(ended)
    await log.flush()
    batches = RunFollower(bus, house.store).follow(run_id)
    found = await anext(batches)
    assert [event.seq for event in found] == [1, 2]
    streams.visible(run_id, [start, StreamChunk(seq=1, offset=1, selector=("n", "text"), text="one two"), ended])
    log.append(end)
    await log.flush()
    streams.visible(run_id, [end])
    found += [event async for batch in batches for event in batch]
    assert [event.seq for event in found if not isinstance(event, TextReplaced)] == [1, 2, 3]
    assert text(found) == "one two"
    await streams.close()


async def say(bus: redis.Redis, run_id: str, *entries: Entry) -> None:
    for entry in entries:
        await bus.xadd(stream_key(run_id), {b"e": msgspec.json.encode(entry)})


@pytest.mark.parametrize("cause", ["recovered", "answered"])
async def test_a_gap_in_which_a_run_was_taken_up_is_made_up_for(house: RunHouse, bus: redis.Redis, cause: str) -> None:
    log = house.store.create(run_id := new_id(), "here")
    for event in (
        RunStarted(seq=1),
        RunResumed(seq=2, cause=cause, text="one "),
        NodeFinished(seq=3, execution_id="e", node_id="n", node_type="llm", title="n", index=1),
        RunFinished(seq=4, status="succeeded", outputs={"answer": "one two"}),
    ):
        log.append(event)
    await log.flush()
    one, two = Piece(1, 1, ("n", "text"), "one "), Piece(2, 1, ("n", "text"), "two")
    start = Entry((0, 0), [one], (1, 1))
    follower = RunFollower(bus, house.store)
    await say(bus, run_id, start, Entry((3, 0), [], (4, 0)))  # what came after it was taken up is lost
    assert text(await read(follower, run_id)) == "one two"
    await bus.delete(stream_key(run_id))
    await say(bus, run_id, Entry((1, 1), [], (2, 0)), Entry((2, 0), [two], (4, 0)))  # what came before is lost
    assert text(await read(follower, run_id)) == "one two"


async def test_a_reader_outlives_a_database_that_is_away(
    watched: RunHouse, bus: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dify_host.runs.follower._AGAIN", 0.0)
    watched.models.gate.clear()
    program = watched.workflow(chat_graph())
    started = await watched.start(program, await watched.app("advanced-chat"), query="REPLY:one two three four five")
    run_id = started.handle.run.run_id
    load, failures = watched.store.load, [DatabaseUnavailable("away")] * 3

    async def moody(*args: Any, **options: Any) -> Any:
        if failures:
            raise failures.pop()
        return await load(*args, **options)

    monkeypatch.setattr(watched.store, "load", moody)
    follower = RunFollower(bus, watched.store)
    reader, waiter = asyncio.create_task(read(follower, run_id)), asyncio.create_task(follower.wait(run_id))
    watched.models.gate.set()
    assert text(await reader) == "one two three four five"
    assert (await waiter).outputs["answer"] == "one two three four five"
    assert not failures
    monkeypatch.setattr("dify_host.runs.follower._PATIENCE", -1.0)
    failures.append(DatabaseUnavailable("for good"))
    with pytest.raises(DatabaseUnavailable):
        await follower.wait(run_id)
