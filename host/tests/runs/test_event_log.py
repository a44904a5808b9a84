"""The SQL log keeps the rules of the kernel's protocol, on each engine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from dify_host.db.engine import Database
from dify_host.db.errors import DatabaseUnavailable
from dify_host.db.types import new_id, utc_now
from dify_host.db.writer import BatchWriter
from dify_host.runs.event_log import SqlRunLog, SqlRunLogStore
from dify_host.runs.tables import saved_messages, workflow_run_events, workflow_run_leases
from dify_kernel.errors import Conflict, LogError, RunFenced
from dify_kernel.graph.events import (
    AgentLogged,
    Event,
    NodeFinished,
    NodeStarted,
    RunFinished,
    RunPaused,
    RunStarted,
    StreamChunk,
    encode_event,
)
from dify_kernel.graph.log import MemoryLogStore, RunLog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

leases = workflow_run_leases


def started(seq: int) -> NodeStarted:
    return NodeStarted(seq=seq, at=float(seq), execution_id=f"e{seq}", node_id="n", node_type="code")


def finished(seq: int) -> RunFinished:
    return RunFinished(seq=seq, at=float(seq), status="succeeded")


async def lease_of(db: Database, run_id: str) -> Any:
    async with db.read() as conn:
        return (await conn.execute(sa.select(leases).where(leases.c.run_id == run_id))).one_or_none()


async def lapse(db: Database, run_id: str) -> None:
    """Let a lease be over, as if its holder had not been heard of."""
    async with db.write() as conn:
        past = utc_now() - timedelta(days=1)
        await conn.execute(leases.update().where(leases.c.run_id == run_id).values(expires_at=past))


async def seqs(store: SqlRunLogStore, run_id: str, after: int = 0) -> list[int]:
    return [event.seq for event in await store.load(run_id, after=after)]


def extra(log: SqlRunLog) -> str:
    """A row that is to be written with the log's next events."""
    row_id = new_id()
    row = {"id": row_id, "app_id": row_id, "message_id": row_id, "created_by_role": "x", "created_by": row_id}
    log.group.insert(saved_messages, row)
    return row_id


async def extras(db: Database) -> set[str]:
    async with db.read() as conn:
        return set((await conn.execute(sa.select(saved_messages.c.id))).scalars())


async def test_a_run_from_start_to_end(store: SqlRunLogStore, database: Database) -> None:
    log = store.create(run_id := new_id(), "me")
    for seq in (1, 2, 3):
        log.append(started(seq))
    assert await store.load(run_id) == []
    await log.flush()
    lease = await lease_of(database, run_id)
    assert (lease.owner, lease.token) == ("me", 1)
    await log.flush()
    log.append(started(4))
    log.append(finished(5))
    await log.flush()
    assert await lease_of(database, run_id) is None
    assert [await seqs(store, run_id, after) for after in range(7)] == [list(range(n, 6)) for n in range(1, 8)]
    assert (await store.load(run_id))[-1] == finished(5)


async def test_a_short_run_leaves_no_lease(store: SqlRunLogStore, database: Database) -> None:
    log = store.create(run_id := new_id(), "me")
    log.append(started(1))
    log.append(finished(2))
    await log.flush()
    assert await lease_of(database, run_id) is None
    async with database.read() as conn:
        rows = (await conn.execute(sa.select(workflow_run_events.c.seq, workflow_run_events.c.type))).all()
    assert [tuple(row) for row in rows] == [(2, "run_finished")]  # one row a flush


async def test_what_breaks_the_rules_is_refused(store: SqlRunLogStore) -> None:
    log = store.create(run_id := new_id(), "me")
    log.append(started(1))
    for bad in (started(1), started(3), StreamChunk(seq=2, selector=("a", "b"), text="x")):
        with pytest.raises(LogError):
            log.append(bad)
    log.append(finished(2))
    with pytest.raises(LogError):
        log.append(started(3))
    await log.flush()
    assert await seqs(store, run_id) == [1, 2]


async def test_a_live_lease_keeps_others_out(store: SqlRunLogStore, database: Database) -> None:
    log = store.create(run_id := new_id(), "me")
    log.append(started(1))
    await log.flush()
    with pytest.raises(RunFenced, match="held by me"):
        await store.open(run_id, "you")
    await lapse(database, run_id)
    taken = await store.open(run_id, "you")
    with pytest.raises(RunFenced):
        await store.open(run_id, "me")
    lease = await lease_of(database, run_id)
    assert (lease.owner, lease.token) == ("you", 2)
    taken.append(started(2))
    await taken.flush()
    assert await seqs(store, run_id) == [1, 2]


async def test_the_fenced_holder_writes_nothing_and_others_do(store: SqlRunLogStore, database: Database) -> None:
    fenced = store.create(run_id := new_id(), "me")
    fenced.append(started(1))
    await fenced.flush()
    await lapse(database, run_id)
    taken = await store.open(run_id, "you")
    others = [store.create(new_id(), "me") for _ in range(3)]
    for log in (fenced, *others):
        log.append(started(2 if log is fenced else 1))
    lost, kept = extra(fenced), [extra(log) for log in others]
    results = await asyncio.gather(*[log.flush() for log in (others[0], fenced, *others[1:])], return_exceptions=True)
    assert [type(result) for result in results] == [type(None), RunFenced, type(None), type(None)]
    assert await extras(database) == set(kept)
    assert lost not in kept
    with pytest.raises(RunFenced):
        await fenced.flush()
    fenced.append(finished(3))
    with pytest.raises(RunFenced):
        await fenced.flush()
    taken.append(finished(2))
    await taken.flush()
    with pytest.raises(RunFenced):
        await fenced.flush()
    assert [event.seq for event in await store.load(run_id)] == [1, 2]


async def test_a_later_open_of_the_same_owner_fences_the_first(store: SqlRunLogStore) -> None:
    run_id = new_id()
    first, second = await store.open(run_id, "me"), await store.open(run_id, "me")
    first.append(started(1))
    with pytest.raises(RunFenced):
        await first.flush()
    second.append(started(1))
    await second.flush()
    assert await seqs(store, run_id) == [1]


async def test_of_many_that_come_at_once_one_takes_a_run(store: SqlRunLogStore, database: Database) -> None:
    fresh, lapsed = new_id(), new_id()
    log = store.create(lapsed, "gone")
    log.append(started(1))
    await log.flush()
    await lapse(database, lapsed)
    for run_id in (fresh, lapsed):
        found = await asyncio.gather(*[store.open(run_id, f"o{n}") for n in range(4)], return_exceptions=True)
        assert sorted(type(item).__name__ for item in found) == ["RunFenced"] * 3 + ["SqlRunLog"]


async def test_an_ended_run_is_open_for_nobody(store: SqlRunLogStore, database: Database) -> None:
    first = store.create(run_id := new_id(), "me")
    first.append(started(1))
    await first.flush()
    await lapse(database, run_id)
    second = await store.open(run_id, "you")
    second.append(finished(2))
    await second.flush()
    third = await store.open(run_id, "they")
    assert await lease_of(database, run_id) is None
    with pytest.raises(LogError):
        third.append(started(3))
    first.append(started(2))  # the first holder comes back, and its number is not taken for a valid one
    with pytest.raises(RunFenced):
        await first.flush()
    assert await seqs(store, run_id) == [1, 2]


async def test_after_a_refused_flush_nothing_follows(store: SqlRunLogStore, database: Database) -> None:
    log = await store.open(run_id := new_id(), "me")
    log.append(started(1))
    log.group.insert(saved_messages, {"id": "no id"})
    log.push()
    log.append(started(2))
    log.push()
    log.append(finished(3))
    with pytest.raises(Exception, match="is not an id"):
        await log.flush()
    assert await seqs(store, run_id) == []
    assert (await lease_of(database, run_id)).owner == "me"


async def test_two_flushes_may_stand_in_one_batch(store: SqlRunLogStore, database: Database) -> None:
    logs = [store.create(new_id(), "me"), await store.open(new_id(), "me")]
    for seq in (1, 2, 3):
        for log in logs:
            log.append(started(seq))
            log.push()
    await asyncio.gather(*[log.flush() for log in logs])
    async with database.read() as conn:
        assert (await conn.execute(sa.select(sa.func.count()).select_from(workflow_run_events))).scalar() == 6


async def test_a_flush_that_is_cancelled_loses_nothing(store: SqlRunLogStore) -> None:
    log = store.create(run_id := new_id(), "me")
    log.append(started(1))
    flushing = asyncio.create_task(log.flush())
    await asyncio.sleep(0)
    flushing.cancel()
    await asyncio.gather(flushing, return_exceptions=True)
    log.append(started(2))
    await log.flush()
    assert await seqs(store, run_id) == [1, 2]


class Mute(Database):
    """A database that does what it is told and is gone before it says so, once."""

    silent: Callable[[], Awaitable[None]] | None = None

    async def run_write(self, work: Any) -> Any:
        result = await super().run_write(work)
        if self.silent is not None:
            meanwhile, self.silent = self.silent, None
            await meanwhile()
            raise DatabaseUnavailable("gone")
        return result


async def test_a_run_that_was_taken_while_the_database_was_away_is_lost(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dify_host.db.writer._PAUSES", (0.0,))
    db = Mute(database_url)
    writer = BatchWriter(db)
    writer.start()
    store, run_id, other_id = SqlRunLogStore(db, writer), new_id(), new_id()

    async def take() -> None:
        await lapse(db, run_id)
        await SqlRunLogStore(db, writer).open(run_id, "you")

    db.silent = take
    other, log = store.create(other_id, "me"), store.create(run_id, "me")
    for one in (other, log):
        one.append(started(1))
        one.push()
        one.append(started(2))
        one.push()
    await other.flush()  # of the same batch, and nobody took it
    with pytest.raises(RunFenced):  # though its events are there: nothing may be done that relies on having it
        await log.flush()
    assert await seqs(store, run_id) == await seqs(store, other_id) == [1, 2]
    await writer.close()
    await store.close()
    await db.close()


async def test_a_lease_is_not_over_when_events_are_written_late(store: SqlRunLogStore, database: Database) -> None:
    """The database was away for longer than a lease lasts; that nobody takes the run just then depends on it."""
    log = store.create(run_id := new_id(), "me", ttl=30)
    log.append(started(1))
    store.leases._ahead += timedelta(hours=1)  # so late it is when the first events are written
    await log.flush()
    assert (await lease_of(database, run_id)).expires_at > utc_now() + timedelta(minutes=59)
    for seq, ending in ((2, None), (3, RunPaused(seq=4))):
        await lapse(database, run_id)
        store.leases._held[run_id].renewed -= 25
        log.append(started(seq))
        if ending is not None:
            log.append(ending)
        await log.flush()
        assert (await lease_of(database, run_id)).expires_at > utc_now() + timedelta(minutes=59)
    assert (await lease_of(database, run_id)).owner == ""


@pytest.mark.parametrize("events", [[started(1), finished(2)], [started(1)]])
async def test_what_was_written_without_a_word_is_still_its_own(
    database_url: str, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dify_host.db.writer._PAUSES", (0.0,))
    db = Mute(database_url)
    writer = BatchWriter(db)
    writer.start()
    store, run_id = SqlRunLogStore(db, writer), new_id()

    async def nothing() -> None: ...

    db.silent = nothing
    log = store.create(run_id, "me")
    for event in events:
        log.append(event)
        log.push()
    await log.flush()
    if len(events) == 1:
        db.silent = nothing
        log.append(finished(2))
        await log.flush()
    assert await seqs(store, run_id) == [1, 2]
    await writer.close()
    await store.close()
    await db.close()


async def test_a_run_that_is_let_go_can_be_taken_at_once(store: SqlRunLogStore) -> None:
    log = store.create(run_id := new_id(), "me")
    log.append(started(1))
    log.release()
    await log.flush()
    taken = await store.open(run_id, "you")
    log.append(started(2))
    with pytest.raises(RunFenced):
        await log.flush()
    taken.append(started(2))
    await taken.flush()
    taken.release()
    await taken.flush()
    again = await store.open(run_id, "they")
    again.append(finished(3))
    await again.flush()
    again.release()
    assert await seqs(store, run_id) == [1, 2, 3]


# -- leases ----------------------------------------------------------------------------------------------------------


async def test_who_starts_a_run_that_another_has_begun_takes_nothing_from_it(
    store: SqlRunLogStore, database: Database
) -> None:
    mine = store.create(run_id := new_id(), "me")
    mine.append(started(1))
    await mine.flush()
    held = await lease_of(database, run_id)
    late = store.create(run_id, "you")
    late.append(started(1))
    with pytest.raises(Conflict):
        await late.flush()
    late.release()
    await late.flush()
    assert await lease_of(database, run_id) == held
    mine.append(started(2))
    await mine.flush()
    assert await seqs(store, run_id) == [1, 2]


async def test_leases_live_as_long_as_their_runs(store: SqlRunLogStore, database: Database) -> None:
    logs = {run_id: store.create(run_id, "me", ttl=0.3) for run_id in (new_id(), new_id())}
    for log in logs.values():
        log.append(started(1))
        await log.flush()
    first = {run_id: (await lease_of(database, run_id)).expires_at for run_id in logs}
    for _ in range(200):  # until both were renewed, well after the first leases would have ended
        now = {run_id: (await lease_of(database, run_id)).expires_at for run_id in logs}
        if all(now[run_id] > first[run_id] + timedelta(seconds=0.3) for run_id in logs):
            break
        await asyncio.sleep(0.02)
    else:
        pytest.fail("the leases were not renewed")
    held, ended = logs
    logs[ended].append(finished(2))
    await logs[ended].flush()
    with pytest.raises(RunFenced):
        await store.open(held, "you")
    assert await lease_of(database, ended) is None


async def test_a_lease_that_was_taken_is_not_renewed(store: SqlRunLogStore, database: Database) -> None:
    log = store.create(run_id := new_id(), "me", ttl=0.06)
    log.append(started(1))
    await log.flush()
    await lapse(database, run_id)
    async with database.write() as conn:  # as another process would
        await conn.execute(leases.update().where(leases.c.run_id == run_id).values(owner="you", token=2))
    before = (await lease_of(database, run_id)).expires_at
    kept = store.create(other := new_id(), "me", ttl=0.06)
    kept.append(started(1))
    await kept.flush()
    first = (await lease_of(database, other)).expires_at
    while (await lease_of(database, other)).expires_at == first:
        await asyncio.sleep(0.01)
    assert (await lease_of(database, run_id)).expires_at == before


async def test_nothing_is_renewed_when_the_store_is_closed(sqlite_database: Database, lite_writer: BatchWriter) -> None:
    store = SqlRunLogStore(sqlite_database, lite_writer)
    log = store.create(run_id := new_id(), "me", ttl=0.03)
    log.append(started(1))
    await log.flush()
    await store.close()
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "run-leases"]
    async with asyncio.timeout(5):
        while True:
            try:
                await store.open(run_id, "you")
                break
            except RunFenced:
                await asyncio.sleep(0.005)
    await store.close()


# -- the same as the log in memory -----------------------------------------------------------------------------------

STEPS = st.lists(
    st.sampled_from(["start", "node", "log", "end", "gap", "again", "chunk", "flush", "flush", "open", "load"]),
    max_size=14,
)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)


def event_of(step: str, seq: int, text: str) -> Event:
    if step == "start":
        return RunStarted(seq=seq, at=1.5, inputs={"a": text}, variables={"sys": {"query": text}})
    if step == "log":
        return AgentLogged(seq=seq, node_id="n", execution_id="e", log={"label": text})
    if step == "end":
        return RunFinished(seq=seq, status="succeeded", outputs={"answer": text})
    if step == "chunk":
        return StreamChunk(seq=seq, selector=("a", "b"), text=text)
    return NodeFinished(seq=seq, execution_id="e", node_id="n", node_type="code", outputs={text: [text, 1, None]})


class Follower:
    """Applies the same steps to a store, and keeps what it answered."""

    def __init__(self, store: Any, run_id: str) -> None:
        self.store, self.run_id = store, run_id
        self.seen: list[Any] = []
        self.log: RunLog | None = None
        self.seq = 0

    async def step(self, step: str, text: str) -> None:
        if self.log is None or step == "open":
            if self.log is not None:
                await self.log.flush()  # what nobody flushed is not the newcomer's
            self.log = await self.store.open(self.run_id, "me")
            return
        if step == "flush":
            await self.log.flush()
        elif step == "load":
            for after in (0, self.seq // 2, self.seq):
                found = await self.store.load(self.run_id, after=after)
                self.seen.append([encode_event(event) for event in found])
        else:
            seq = self.seq + {"gap": 2, "again": 0}.get(step, 1)
            try:
                self.log.append(event_of(step, seq, text))
            except LogError as exc:
                self.seen.append(str(exc))
            else:
                self.seq = seq


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, text=TEXTS)
async def test_it_answers_as_the_log_in_memory(store: SqlRunLogStore, steps: list[str], text: str) -> None:
    run_id = new_id()
    followers = [Follower(store, run_id), Follower(MemoryLogStore(), run_id)]
    for follower in followers:
        for step in ["open", *steps, "flush", "load"]:
            await follower.step(step, text)
    assert followers[0].seen == followers[1].seen
