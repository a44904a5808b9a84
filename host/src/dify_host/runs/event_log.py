"""The run log in SQL: appends of all runs of a process share transactions, a lease fences off a run's last owner.

A row holds the events of one flush of one run: `seq` and `type` are those of the last, `payload` is their JSON array.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa
from dify_kernel.errors import Conflict, RunFenced
from dify_kernel.graph.events import AnyEvent, Event, RunFinished, RunPaused, decode_events, encode_event
from dify_kernel.graph.log import RunLogStore, check_next

from dify_host.db.engine import Database, database_now
from dify_host.db.statements import upsert
from dify_host.db.types import utc_now
from dify_host.db.writer import BatchWriter, Group
from dify_host.runs.leases import Leases
from dify_host.runs.tables import workflow_run_events, workflow_run_leases
from dify_host.runs.well_formed import make_well_formed

__all__ = ["NOBODY", "SqlRunLog", "SqlRunLogStore"]

#: Who holds a run that waits for somebody; its lease has no end, so that no sweep takes the run for lost.
NOBODY = ""
_NO_END = datetime(9999, 1, 1)


class SqlRunLogStore(RunLogStore):
    """All run logs of one database. `create` begins a run of this process, `open` takes over an existing one.

    A log's lease of `ttl` seconds is renewed until the log has ended, is released, or the store is closed.
    """

    def __init__(self, db: Database, writer: BatchWriter, *, ttl: float = 30.0) -> None:
        self._db = db
        self._writer = writer
        self._ttl = ttl
        self._leases = Leases(db, writer)

    def create(self, run_id: str, owner: str, *, ttl: float | None = None) -> SqlRunLog:
        """The log of a new run; its lease is written with the first events."""
        ttl = self._ttl if ttl is None else ttl
        log = SqlRunLog(self._writer, self._leases, run_id, token=1, last=0, ended=False)
        row = {"run_id": run_id, "owner": owner, "token": 1, "expires_at": self._leases.until(ttl)}
        log.group.insert(workflow_run_leases, row)
        self._leases.hold(run_id, owner, ttl)
        return log

    async def open(self, run_id: str, owner: str, *, ttl: float | None = None) -> SqlRunLog:
        """Take the run's lease and fence its last owner; RunFenced while another owner's lease is alive.

        The log of a run that has ended is open for nobody: it takes no event, and there is no lease to hold.
        """
        ttl = self._ttl if ttl is None else ttl
        try:
            token, last, ended = await self._take(run_id, owner, ttl)
        except Conflict as exc:
            raise RunFenced(f"Run {run_id} was taken by another process just now.", run_id=run_id) from exc
        if not ended:
            self._leases.hold(run_id, owner, ttl)
        return SqlRunLog(self._writer, self._leases, run_id, token=token, last=last, ended=ended, held=True)

    async def _take(self, run_id: str, owner: str, ttl: float) -> tuple[int, int, bool]:
        """Lock the lease, then look how far the run has come: the token, the last seq, whether it has ended."""
        leases, events = workflow_run_leases, workflow_run_events
        async with self._db.write() as conn:
            query = sa.select(leases).where(leases.c.run_id == run_id).with_for_update()
            lease = (await conn.execute(query)).one_or_none()
            now = await database_now(conn)
            if lease is not None and lease.owner not in (owner, NOBODY) and lease.expires_at > now:
                raise RunFenced(f"Run {run_id} is held by {lease.owner}.", run_id=run_id)
            newest = sa.select(events.c.seq, events.c.type).where(events.c.run_id == run_id)
            last = (await conn.execute(newest.order_by(events.c.seq.desc()).limit(1))).one_or_none()
            seq, ended = (last.seq, last.type == "run_finished") if last is not None else (0, False)
            token = (lease.token if lease is not None else 0) + 1
            if not ended:
                row = {"run_id": run_id, "owner": owner, "token": token, "expires_at": now + timedelta(seconds=ttl)}
                if lease is None:  # an insert, so that of two who come at once one is refused
                    await conn.execute(leases.insert().values(row))
                else:
                    await upsert(conn, leases, [row], key=["run_id"], update=["owner", "token", "expires_at"])
        return token, seq, ended

    async def close(self) -> None:
        """Renew no lease any more; what is still running may be taken over when its lease ends."""
        await self._leases.close()

    async def load(self, run_id: str, *, after: int = 0, until: int | None = None) -> list[AnyEvent]:
        """The durable events with seq > after, in order; with `until` no rows beyond the one that holds that event."""
        events = workflow_run_events
        query = (
            sa.select(events.c.payload).where(events.c.run_id == run_id, events.c.seq > after).order_by(events.c.seq)
        )
        if until is not None:
            query = query.limit(max(until - after, 1))
        async with self._db.read() as conn:
            payloads = (await conn.execute(query)).scalars().all()
        return [event for payload in payloads for event in decode_events(payload.encode()) if event.seq > after]


class SqlRunLog:
    """The open log of one run. Rows that belong to the run go into `group`, to be written with its events."""

    def __init__(
        self,
        writer: BatchWriter,
        leases: Leases,
        run_id: str,
        *,
        token: int,
        last: int,
        ended: bool,
        held: bool = False,
    ) -> None:
        self._writer, self._leases = writer, leases
        self._run_id, self._token = run_id, token
        self._last, self._ended = last, ended
        self._written: asyncio.Future[None] | None = None
        self._fresh: list[bytes] = []
        self._type = ""
        self.group = Group(partial(self._check, None) if held else None)

    def append(self, event: Event) -> None:
        """Take the next event; LogError on a gap or after the end."""
        check_next(event, self._last, self._ended)
        try:
            self._fresh.append(encode_event(event))
        except UnicodeEncodeError:
            make_well_formed(event)
            self._fresh.append(encode_event(event))
        self._type = str(event.__struct_config__.tag)
        self._last += 1
        self._ended = isinstance(event, RunFinished)
        if self._ended:
            self._leases.drop(self._run_id)
            self.group.delete(workflow_run_leases.c.run_id, self._run_id)
        elif isinstance(event, RunPaused):
            self._leases.drop(self._run_id)
            self._ended = True  # for this holder; whoever resumes it opens it anew
            self.group.execute(self._lease(owner=NOBODY, expires_at=_NO_END))

    @property
    def last(self) -> int:
        """The seq of the last event that was appended."""
        return self._last

    def push(self) -> asyncio.Future[None] | None:
        """Send what has gathered to the writer without waiting for it; the future of what was sent, if anything."""
        group = self.group
        fresh, self._fresh = self._fresh, []
        if fresh:
            payload = (b"[" + b",".join(fresh) + b"]").decode()
            row = {"run_id": self._run_id, "seq": self._last, "type": self._type}
            group.insert(workflow_run_events, {**row, "payload": payload, "created_at": utc_now()})
        if not group.inserts and not group.updates and not group.statements and not group.deletes:
            return None
        written = self._writer.put(group)
        self.group = Group(partial(self._check, written))
        self._written = written
        return written

    async def flush(self) -> None:
        """Return when everything appended is durable; RunFenced when another process took the run over."""
        self.push()
        if self._written is not None:
            await asyncio.shield(self._written)

    def release(self) -> None:
        """Let the run go before its end: what was appended is sent, and another process may take it over at once."""
        self._leases.drop(self._run_id)
        if self._ended:
            return
        self.group.execute(self._lease(expires_at=self._leases.until(0)))
        self.push()

    def let_wait(self) -> None:
        """Give back a run that waits for somebody, as it was found."""
        if not self._ended:
            self._leases.drop(self._run_id)
            self._ended = True
            self.group.execute(self._lease(owner=NOBODY, expires_at=_NO_END))
            self.push()

    def forget(self) -> None:
        """Let go of a run whose start was never written: nothing is left of it."""
        self._leases.drop(self._run_id)
        self._ended = True
        self.group.delete(workflow_run_leases.c.run_id, self._run_id)
        self.push()

    def _lease(self, **values: Any) -> sa.Update:
        leases = workflow_run_leases
        mine = sa.and_(leases.c.run_id == self._run_id, leases.c.token == self._token)
        return sa.update(leases).where(mine).values(**values)

    def _check(self, before: asyncio.Future[None] | None, conn: sa.Connection) -> None:
        """Refuse the group when an earlier one of this log was, or when the lease is another's.

        The row is locked until the group is durable, so that nobody takes the run over in between. An earlier group
        that is not durable yet stands in the same batch, and was checked there.
        """
        if before is not None and not before.cancelled():
            if not before.done():
                return
            before.result()
        leases = workflow_run_leases
        query = sa.select(leases.c.token).where(leases.c.run_id == self._run_id).with_for_update()
        token = conn.execute(query).scalar()
        if token != self._token:
            raise RunFenced(f"Run {self._run_id} was taken over by another process.", run_id=self._run_id)
