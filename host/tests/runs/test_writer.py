"""Batches of rows: what is put is written once, in order, and a bad group fails alone."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa
from dify_host.db.engine import Database
from dify_host.db.errors import DatabaseBusy, DatabaseUnavailable
from dify_host.db.types import new_id, utc_now
from dify_host.db.writer import BatchWriter, Claim, Group
from dify_host.runs.tables import pinned_conversations, saved_messages, workflow_run_leases
from dify_kernel.errors import BadInput, Conflict, DifyError

NOW = datetime(2026, 1, 1)
APP = new_id()


def saved(row_id: str, *, by: str = APP, role: str = "account") -> dict[str, Any]:
    return {
        "id": row_id,
        "app_id": APP,
        "message_id": row_id,
        "created_by_role": role,
        "created_by": by,
        "created_at": NOW,
    }


def group(*row_ids: str) -> Group:
    made = Group()
    for row_id in row_ids:
        made.insert(saved_messages, saved(row_id))
    return made


async def stored(db: Database, column: sa.Column[Any] = saved_messages.c.id) -> dict[str, Any]:
    async with db.read() as conn:
        rows = (await conn.execute(sa.select(column.table.c.id, column))).all()
    return {row[0]: row[1] for row in rows}


async def test_an_insert_and_its_changes_are_one_row(writer: BatchWriter, database: Database) -> None:
    made = Group()
    row = saved(row_id := new_id())
    made.insert(saved_messages, row)
    made.update(saved_messages, row_id, {"created_by_role": "one"})
    made.update(saved_messages, row_id, {"created_by_role": "two"})
    await writer.put(made)
    assert await stored(database, saved_messages.c.created_by_role) == {row_id: "two"}
    assert row["created_by_role"] == "account"  # the caller's own mapping stays as it was


async def test_the_last_change_wins_whatever_columns_the_others_set(writer: BatchWriter, database: Database) -> None:
    await writer.put(group(row_id := new_id()))
    changes: list[dict[str, Any]] = [
        {"created_by_role": "one", "created_by": APP},
        {"created_by_role": "two"},
        {"created_by_role": "three", "created_by": APP},
        {"created_by_role": "four"},
    ]
    futures = []
    for values in changes:
        change = Group()
        change.update(saved_messages, row_id, values)
        futures.append(writer.put(change))
    await asyncio.gather(*futures)
    assert await stored(database, saved_messages.c.created_by_role) == {row_id: "four"}


async def test_rows_deletes_and_statements_take_their_order(writer: BatchWriter, database: Database) -> None:
    kept, gone, never = new_id(), new_id(), new_id()
    await writer.put(group(gone))
    made = group(kept, never)
    made.delete(saved_messages.c.id, never)  # was not written yet
    made.delete(saved_messages.c.id, gone)
    table = saved_messages
    made.execute(sa.update(table).where(table.c.id == kept).values(created_by_role="after the insert"))
    await writer.put(made)
    assert await stored(database, table.c.created_by_role) == {kept: "after the insert"}


async def test_a_group_without_rows_is_durable_too(writer: BatchWriter, database: Database) -> None:
    await writer.put(group(row_id := new_id()))
    change = Group()
    change.execute(sa.update(saved_messages).where(saved_messages.c.id == row_id).values(created_by_role="x"))
    await writer.put(change)
    await writer.put(Group())
    assert await stored(database, saved_messages.c.created_by_role) == {row_id: "x"}


async def test_one_bad_group_fails_alone(writer: BatchWriter, database: Database) -> None:
    twice, ids = new_id(), [new_id() for _ in range(6)]
    await writer.put(group(twice))

    def refuse(conn: sa.Connection) -> None:
        raise BadInput("not these")

    refused = Group(refuse)
    refused.insert(saved_messages, saved(new_id()))
    malformed = Group()
    malformed.insert(saved_messages, saved("no id"))
    puts = [group(*ids[:2]), group(twice, ids[2]), refused, group(ids[3]), malformed, group(*ids[4:])]
    results = await asyncio.gather(*[writer.put(item) for item in puts], return_exceptions=True)
    assert [type(result) for result in results] == [type(None), Conflict, BadInput, type(None), BadInput, type(None)]
    assert set(await stored(database)) == {twice, *ids} - {ids[2]}


async def test_claims_that_do_not_hold_refuse_their_own_groups(writer: BatchWriter, database: Database) -> None:
    mine, others, ids = new_id(), new_id(), [new_id() for _ in range(4)]
    await writer.put(group(mine, others))

    def claiming(row: str, role: str, row_id: str) -> Group:
        key, column = saved_messages.c.id, saved_messages.c.created_by_role
        made = Group(lambda _conn: Claim(key, row, column, role, lambda: BadInput(f"{row} is another's")))
        made.insert(saved_messages, saved(row_id))
        return made

    role = saved(mine)["created_by_role"]
    claims = [(mine, role), (others, "somebody else"), (new_id(), role), (others, role)]
    groups = [claiming(row, held, row_id) for (row, held), row_id in zip(claims, ids, strict=True)]
    results = await asyncio.gather(*[writer.put(item) for item in groups], return_exceptions=True)
    assert [type(result) for result in results] == [type(None), BadInput, BadInput, type(None)]
    assert set(await stored(database)) == {mine, others, ids[0], ids[3]}


async def test_an_error_that_nobody_foresaw_ends_the_future(writer: BatchWriter, database: Database) -> None:
    def broken(conn: sa.Connection) -> None:
        raise ZeroDivisionError

    good, bad = group(row_id := new_id()), Group(broken)
    results = await asyncio.gather(writer.put(bad), writer.put(good), return_exceptions=True)
    assert isinstance(results[0], ZeroDivisionError)
    assert results[1] is None
    assert set(await stored(database)) == {row_id}


async def test_many_writers_at_once(writer: BatchWriter, database: Database) -> None:
    async def write(number: int) -> list[str]:
        ids = [new_id() for _ in range(number % 4 + 1)]
        for row_id in ids:
            await writer.put(group(row_id))
        return ids

    written = await asyncio.gather(*[write(number) for number in range(60)])
    assert set(await stored(database)) == {row_id for ids in written for row_id in ids}


async def test_a_waiter_that_leaves_loses_no_row(writer: BatchWriter, database: Database) -> None:
    left, stayed = writer.put(group(first := new_id())), writer.put(group(second := new_id()))
    left.cancel()
    await stayed
    assert set(await stored(database)) == {first, second}


async def test_close_writes_what_is_left(database: Database) -> None:
    writer = BatchWriter(database)
    writer.start()
    writer.start()
    futures = [writer.put(group(new_id())) for _ in range(5)]
    await writer.close()
    assert all(future.done() for future in futures)
    assert len(await stored(database)) == 5


async def test_more_rows_than_one_statement_takes(lite_writer: BatchWriter, sqlite_database: Database) -> None:
    ids = [new_id() for _ in range(1203)]
    await lite_writer.put(group(*ids))
    assert set(await stored(sqlite_database)) == set(ids)


async def test_rows_of_one_table_with_other_columns(lite_writer: BatchWriter, sqlite_database: Database) -> None:
    short, full = saved(new_id()), saved(new_id())
    del short["created_at"]
    made = Group()
    made.insert(saved_messages, short)
    made.insert(saved_messages, full)
    made.insert(pinned_conversations, {**{k: v for k, v in full.items() if k != "message_id"}, "conversation_id": APP})
    await lite_writer.put(made)
    found = await stored(sqlite_database, saved_messages.c.created_at)
    assert found[full["id"]] == NOW
    assert found[short["id"]] > NOW


async def test_a_row_without_an_id_is_taken_back(lite_writer: BatchWriter, sqlite_database: Database) -> None:
    made, run_id = Group(), new_id()
    row = {"run_id": run_id, "owner": "me", "token": 1, "expires_at": utc_now()}
    made.insert(workflow_run_leases, row)
    made.insert(saved_messages, saved(new_id()))
    made.delete(workflow_run_leases.c.run_id, run_id)
    assert made.deletes == []
    await lite_writer.put(made)
    async with sqlite_database.read() as conn:
        assert (await conn.execute(sa.select(workflow_run_leases.c.run_id))).all() == []


class Moody(Database):
    """A database that is away for its first calls."""

    failures: list[DifyError] = []

    async def run_write(self, work: Any) -> Any:
        if self.failures:
            raise self.failures.pop(0)
        return await super().run_write(work)


@pytest.mark.parametrize("kind", [DatabaseUnavailable, DatabaseBusy])
async def test_a_database_that_comes_back_loses_nothing(
    sqlite_url: str, kind: type[DifyError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dify_host.db.writer._PAUSES", (0.0, 0.0))
    monkeypatch.setattr("dify_host.db.writer._PATIENCE", 0.0)
    db = Moody(sqlite_url)
    writer = BatchWriter(db)
    writer.start()
    db.failures = [kind("later"), kind("later")]
    await asyncio.gather(*[writer.put(group(new_id())) for _ in range(3)])
    db.failures = [kind("later")] * 3
    first, second = await asyncio.gather(
        writer.put(group(new_id())), writer.put(group(new_id())), return_exceptions=True
    )
    # A database that is away is away for all; a lock that does not come free may be one group's.
    lost = kind is DatabaseUnavailable
    assert (isinstance(first, kind), isinstance(second, kind)) == (lost, lost)
    assert len(await stored(db)) == (3 if lost else 5)
    await writer.close()
    await db.close()


async def test_what_follows_a_lost_group_is_lost_alone(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dify_host.db.writer._PAUSES", ())
    monkeypatch.setattr("dify_host.db.writer._PATIENCE", 0.0)
    db = Moody(sqlite_url)
    writer = BatchWriter(db)
    writer.start()
    db.failures = [DatabaseUnavailable("away")]
    lost = writer.put(group(new_id()))
    await asyncio.wait({lost})
    # It is back: those who lost nothing go on, in the same batch as those who did.
    behind, further, other = group(new_id()), group(new_id()), group(kept := new_id())
    behind.after = lost
    further.after = writer.put(behind)
    last = writer.put(further)
    await writer.put(other)
    assert [type(future.exception()) for future in (lost, further.after, last)] == [DatabaseUnavailable] * 3
    assert set(await stored(db)) == {kept}
    await writer.close()
    await db.close()


class Mute(Database):
    """A database that does what it is told and is gone before it says so, for its first calls."""

    silent = 0

    async def run_write(self, work: Any) -> Any:
        result = await super().run_write(work)
        if self.silent:
            self.silent -= 1
            raise DatabaseUnavailable("gone")
        return result


async def test_what_was_written_without_a_word_is_not_written_twice(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dify_host.db.writer._PAUSES", (0.0, 0.0))
    db = Mute(database_url)
    writer = BatchWriter(db)
    writer.start()
    db.silent = 2
    lease = {"run_id": (run_id := new_id()), "owner": "me", "token": 1, "expires_at": NOW}
    made = group(row_id := new_id())
    made.insert(workflow_run_leases, lease)
    await asyncio.gather(writer.put(made), writer.put(group(other := new_id())))
    assert set(await stored(db)) == {row_id, other}
    db.silent = 1
    gone = group(last := new_id())
    gone.delete(workflow_run_leases.c.run_id, run_id)
    await writer.put(gone)
    assert set(await stored(db)) == {row_id, other, last}
    await writer.close()
    await db.close()


async def test_a_row_of_somebody_else_is_not_taken_for_written(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dify_host.db.writer._PAUSES", (0.0, 0.0))
    db = Moody(sqlite_url)
    writer = BatchWriter(db)
    writer.start()
    await writer.put(group(row_id := new_id()))
    db.failures = [DatabaseUnavailable("later")]
    made = Group()
    made.insert(saved_messages, saved(row_id, role="end_user"))
    with pytest.raises(Conflict):
        await writer.put(made)
    await writer.close()
    await db.close()
