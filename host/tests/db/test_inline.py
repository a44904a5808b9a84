"""Transactions whose work is written for an asynchronous connection, run in one trip."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa
from dify_host.db.engine import Database
from dify_host.db.errors import DatabaseError
from dify_host.db.outbox import claim_batch, enqueue
from dify_host.db.statements import insert_missing
from dify_host.db.types import new_id
from dify_host.identity.tables import accounts
from sqlalchemy.ext.asyncio import AsyncConnection

EMAILS = sa.select(accounts.c.email).order_by(accounts.c.email)


async def add(conn: AsyncConnection, email: str) -> str:
    row = {"id": new_id(), "name": "Ada", "email": email}
    await insert_missing(conn, accounts, [row], key=["email"])
    return str(row["id"])


async def emails(conn: AsyncConnection) -> list[str]:
    return list((await conn.execute(EMAILS)).scalars())


async def test_what_the_work_writes_is_kept_and_its_result_returned(database: Database) -> None:
    async def work(conn: AsyncConnection) -> tuple[str, list[str]]:
        return await add(conn, "a@x"), await emails(conn)

    made, seen = await database.write_inline(work)
    assert (len(made), seen) == (36, ["a@x"])
    assert await database.read_inline(emails) == ["a@x"]
    assert await database.read_inline(lambda conn: conn.run_sync(lambda c: len(c.execute(EMAILS).all()))) == 1


async def test_work_that_fails_leaves_nothing(database: Database) -> None:
    async def work(conn: AsyncConnection) -> None:
        await add(conn, "a@x")
        raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        await database.write_inline(work)
    assert await database.read_inline(emails) == []


async def test_a_change_while_reading_is_refused(database: Database) -> None:
    with pytest.raises(DatabaseError, match="for reading"):
        await database.read_inline(lambda conn: add(conn, "a@x"))
    assert await database.read_inline(emails) == []


async def test_work_that_awaits_something_else_is_refused_and_leaves_nothing(sqlite_database: Database) -> None:
    ended = []

    async def work(conn: AsyncConnection) -> None:
        await add(conn, "a@x")
        try:
            await asyncio.sleep(0)
        finally:
            ended.append(True)

    with pytest.raises(DatabaseError, match="something besides its connection"):
        await sqlite_database.write_inline(work)
    assert ended
    assert await sqlite_database.read_inline(emails) == []


async def test_a_relay_is_told_of_jobs_that_were_written_and_of_no_others(database: Database) -> None:
    told: list[int] = []
    database.on_jobs = lambda: told.append(1)

    async def lost(conn: AsyncConnection) -> None:
        await enqueue(conn, "act", {"number": 1}, queue="dataset")
        raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        await database.write_inline(lost)
    await database.write_inline(lambda conn: add(conn, "a@x"))
    assert told == []
    await database.write_inline(lambda conn: enqueue(conn, "act", {"number": 2}, queue="dataset"))
    assert told == [1]
    assert [job.args for job in await claim_batch(database)] == [{"number": 2}]
