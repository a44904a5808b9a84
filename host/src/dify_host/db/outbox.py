"""The outbox: a job is a row in the transaction of the row it is about, and a relay sends it from there.

No row without its job, no job without its row. A relay claims due jobs for a window, sends them and marks them sent;
when it dies in between, the window ends and another relay sends them. So a job is sent at least once, and by one
relay at a time: actors must bear a repetition.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.db.engine import JOBS_WRITTEN, Database, database_now
from dify_host.db.repository import to_struct
from dify_host.db.schema import bare_table, index, integer, json_text, moment, ref, string, unique
from dify_host.db.statements import insert_missing
from dify_host.db.types import Moment, new_id, utc_now

__all__ = ["Job", "claim_batch", "enqueue", "has_unsent", "mark_sent", "outbox", "purge_sent"]

outbox = bare_table(
    "outbox",
    ref("id", primary_key=True),
    string("queue"),
    string("actor"),
    json_text("args", null=False),
    string("dedupe_key", null=True),
    moment("eta"),
    sa.Column("created_at", Moment(), nullable=False, default=utc_now),
    moment("claimed_until"),
    moment("sent_at"),
    integer("attempts"),
    unique("dedupe_key"),
    index("sent_at", "id"),
)


class Job(msgspec.Struct, frozen=True):
    """One job to send; `attempts` counts the claims, this one included."""

    id: str
    queue: str
    actor: str
    args: Any
    dedupe_key: str | None
    eta: datetime | None
    created_at: datetime
    attempts: int


async def enqueue(
    conn: AsyncConnection,
    actor: str,
    args: Any,
    *,
    queue: str,
    eta: datetime | None = None,
    key: str | None = None,
) -> str:
    """Write a job in the caller's transaction and return its id; it exists when that transaction commits.

    `args` is any JSON value. A job with an `eta` (UTC) is not sent before that time. A `key` names one job: a second
    job with the same key is not written, as long as the first is kept (until `purge_sent`), and its id is returned.
    """
    row = {"id": new_id(), "queue": queue, "actor": actor, "args": args, "eta": eta, "dedupe_key": key}
    conn.info[JOBS_WRITTEN] = True
    if key is None:
        await conn.execute(outbox.insert().values(row))
        return str(row["id"])
    await insert_missing(conn, outbox, [row], key=["dedupe_key"])
    found = await conn.execute(sa.select(outbox.c.id).where(outbox.c.dedupe_key == key))
    return str(found.scalar_one())


async def claim_batch(db: Database, *, limit: int = 100, window: timedelta = timedelta(seconds=60)) -> list[Job]:
    """Take up to `limit` due jobs, oldest first; for `window` no other relay gets them.

    Relays that claim at the same time skip each other's rows. All times are the database's.
    """

    async def claim(conn: AsyncConnection) -> Sequence[sa.Row[Any]]:
        now = await database_now(conn)
        due = sa.and_(
            outbox.c.sent_at.is_(None),
            sa.or_(outbox.c.claimed_until.is_(None), outbox.c.claimed_until <= now),
            sa.or_(outbox.c.eta.is_(None), outbox.c.eta <= now),
        )
        query = sa.select(outbox).where(due).order_by(outbox.c.id).limit(limit)
        rows = (await conn.execute(query.with_for_update(skip_locked=True))).all()
        if rows:
            change = outbox.update().where(outbox.c.id.in_([row.id for row in rows]))
            await conn.execute(change.values(claimed_until=now + window, attempts=outbox.c.attempts + 1))
        return rows

    jobs = [to_struct(row, Job) for row in await db.write_inline(claim)]
    return [msgspec.structs.replace(job, attempts=job.attempts + 1) for job in jobs]


async def has_unsent(db: Database) -> bool:
    """Tell cheaply whether any job waits, due or not: what an idle relay asks instead of claiming."""
    query = sa.select(outbox.c.id).where(outbox.c.sent_at.is_(None)).limit(1)
    return await db.run_read(lambda conn: conn.execute(query).first() is not None)


async def mark_sent(db: Database, ids: Sequence[str]) -> None:
    """Record that these jobs are with the broker; ids that are unknown or sent already change nothing."""
    if not ids:
        return

    async def mark(conn: AsyncConnection) -> None:
        sent = outbox.update().where(outbox.c.id.in_(ids), outbox.c.sent_at.is_(None))
        await conn.execute(sent.values(sent_at=await database_now(conn)))

    await db.write_inline(mark)


async def purge_sent(db: Database, *, before: datetime, limit: int = 1000) -> int:
    """Delete up to `limit` jobs sent before a time (UTC), oldest first, and return how many; frees their keys."""
    async with db.write() as conn:
        old = sa.select(outbox.c.id).where(outbox.c.sent_at < before).order_by(outbox.c.sent_at).limit(limit)
        ids = (await conn.execute(old)).scalars().all()
        if ids:
            await conn.execute(outbox.delete().where(outbox.c.id.in_(ids)))
    return len(ids)
