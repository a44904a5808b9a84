"""A job is sent when, and only when, the transaction it was written in is committed."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from dify_host.db.engine import Database
from dify_host.db.outbox import Job, claim_batch, enqueue, mark_sent, outbox, purge_sent
from dify_host.db.types import utc_now
from dify_host.identity.tables import accounts

AT_ONCE = timedelta(0)


async def put(db: Database, *numbers: int, **options: Any) -> list[str]:
    async with db.write() as conn:
        return [await enqueue(conn, "index", [number], queue="dataset", **options) for number in numbers]


def numbers(jobs: list[Job]) -> list[int]:
    return [job.args[0] for job in jobs]


async def test_a_job_is_claimed_as_it_was_written(database: Database) -> None:
    args = {"document_ids": ["a", None], "text": "👍"}
    async with database.write() as conn:
        made = await enqueue(conn, "index", args, queue="dataset", key="k")
    (job,) = await claim_batch(database)
    assert (job.id, job.actor, job.queue, job.args, job.dedupe_key) == (made, "index", "dataset", args, "k")
    assert (job.attempts, job.eta) == (1, None)


async def test_a_transaction_that_fails_leaves_neither_row_nor_job(database: Database) -> None:
    async def fail() -> None:
        async with database.write() as conn:
            await conn.execute(accounts.insert().values(name="a", email="a@x"))
            await enqueue(conn, "welcome", [1], queue="mail")
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError):
        await fail()
    assert await claim_batch(database) == []
    async with database.read() as conn:
        assert (await conn.execute(sa.select(accounts.c.id))).all() == []


async def test_jobs_come_oldest_first_and_no_more_than_asked(database: Database) -> None:
    await put(database, *range(10))
    assert numbers(await claim_batch(database, limit=4)) == [0, 1, 2, 3]
    assert numbers(await claim_batch(database, limit=4)) == [4, 5, 6, 7]
    assert numbers(await claim_batch(database, limit=4)) == [8, 9]
    assert await claim_batch(database) == []


async def test_an_unsent_job_comes_again_when_the_window_is_over(database: Database) -> None:
    await put(database, 1)
    (first,) = await claim_batch(database, window=AT_ONCE)
    (second,) = await claim_batch(database)
    assert first.id == second.id
    assert (first.attempts, second.attempts) == (1, 2)
    assert await claim_batch(database) == []


async def test_a_sent_job_never_comes_again(database: Database) -> None:
    await put(database, 1, 2)
    jobs = await claim_batch(database, window=AT_ONCE)
    await mark_sent(database, [jobs[0].id])
    await mark_sent(database, [jobs[0].id])
    await mark_sent(database, [])
    assert numbers(await claim_batch(database)) == [2]


async def test_a_job_waits_for_its_time(database: Database) -> None:
    await put(database, 1, eta=utc_now() + timedelta(hours=1))
    await put(database, 2, eta=utc_now() - timedelta(hours=1))
    assert numbers(await claim_batch(database)) == [2]


async def test_a_key_names_one_job_until_it_is_purged(database: Database) -> None:
    (first,) = await put(database, 1, key="once")
    assert await put(database, 2, key="once") == [first]
    assert numbers(await claim_batch(database)) == [1]
    await mark_sent(database, [first])
    assert await put(database, 3, key="once") == [first]
    assert await claim_batch(database) == []
    assert await purge_sent(database, before=utc_now() - timedelta(hours=1)) == 0
    assert await purge_sent(database, before=utc_now() + timedelta(hours=1)) == 1
    assert await put(database, 4, key="once") != [first]
    assert numbers(await claim_batch(database)) == [4]


async def test_relays_that_claim_at_once_never_share_a_job(database: Database, database_url: str) -> None:
    await put(database, *range(60))
    relays = [Database(database_url) for _ in range(4)]

    async def drain(db: Database) -> list[Job]:
        taken: list[Job] = []
        while batch := await claim_batch(db, limit=5):
            taken += batch
        return taken

    taken = await asyncio.gather(*(drain(relay) for relay in relays))
    for relay in relays:
        await relay.close()
    # A relay may find every row it sees locked by another and stop early; what is left is claimed now.
    every = [job for jobs in taken for job in jobs] + await claim_batch(database)
    assert sorted(numbers(every)) == list(range(60))
    assert {job.attempts for job in every} == {1}


async def test_a_claim_does_not_wait_for_a_transaction_that_holds_a_job(database: Database) -> None:
    if database.dialect == "sqlite":
        pytest.skip("SQLite has one writer")
    held, _ = await put(database, 1, 2)
    async with database.write() as conn:
        await conn.execute(sa.select(outbox).where(outbox.c.id == held).with_for_update())
        assert numbers(await asyncio.wait_for(claim_batch(database), 10)) == [2]
