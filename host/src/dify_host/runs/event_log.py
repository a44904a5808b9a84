"""The run log in SQL: appends of all runs of a process share transactions, a lease fences off a run's last owner.

A row holds the events of one flush of one run: `seq` and `type` are those of the last, `payload` is their JSON array.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

import sqlalchemy as sa
from dify_kernel.errors import RunFenced
from dify_kernel.graph.events import AnyEvent, Event, RunFinished, decode_events, encode_event
from dify_kernel.graph.log import RunLogStore, check_next

from dify_host.db.engine import Database, database_now
from dify_host.db.statements import upsert
from dify_host.db.types import utc_now
from dify_host.db.writer import BatchWriter, Group
from dify_host.runs.tables import workflow_run_events, workflow_run_leases

__all__ = ["SqlRunLog", "SqlRunLogStore"]


class SqlRunLogStore(RunLogStore):
    """All run logs of one database. `create` begins a run of this process, `open` takes over an existing one."""

    def __init__(self, db: Database, writer: BatchWriter) -> None:
        self._db = db
        self._writer = writer

    def create(self, run_id: str, owner: str, *, ttl: float = 30.0) -> SqlRunLog:
        """The log of a new run; its lease is written with the first events."""
        log = SqlRunLog(self._writer, run_id, token=1, last=0, ended=False)
        log.group.insert(
            workflow_run_leases,
            {"run_id": run_id, "owner": owner, "token": 1, "expires_at": utc_now() + timedelta(seconds=ttl)},
        )
        return log

    async def open(self, run_id: str, owner: str, *, ttl: float = 30.0) -> SqlRunLog:
        """Take the run's lease and fence its last owner; RunFenced while another owner's lease is alive."""
        leases, events = workflow_run_leases, workflow_run_events
        async with self._db.write() as conn:
            query = sa.select(leases).where(leases.c.run_id == run_id).with_for_update()
            lease = (await conn.execute(query)).one_or_none()
            now = await database_now(conn)
            if lease is not None and lease.owner != owner and lease.expires_at > now:
                raise RunFenced(f"Run {run_id} is held by {lease.owner}.", run_id=run_id)
            token = (lease.token if lease is not None else 0) + 1
            row = {"run_id": run_id, "owner": owner, "token": token, "expires_at": now + timedelta(seconds=ttl)}
            await upsert(conn, leases, [row], key=["run_id"], update=["owner", "token", "expires_at"])
            newest = sa.select(events.c.seq, events.c.type).where(events.c.run_id == run_id)
            last = (await conn.execute(newest.order_by(events.c.seq.desc()).limit(1))).one_or_none()
        ended = last is not None and last.type == "run_finished"
        return SqlRunLog(self._writer, run_id, token=token, last=last.seq if last else 0, ended=ended, held=True)

    async def load(self, run_id: str, *, after: int = 0) -> list[AnyEvent]:
        """The durable events with seq > after, in order."""
        events = workflow_run_events
        query = (
            sa.select(events.c.payload).where(events.c.run_id == run_id, events.c.seq > after).order_by(events.c.seq)
        )
        async with self._db.read() as conn:
            payloads = (await conn.execute(query)).scalars().all()
        return [event for payload in payloads for event in decode_events(payload.encode()) if event.seq > after]


class SqlRunLog:
    """The open log of one run. Rows that belong to the run go into `group`, to be written with its events."""

    def __init__(
        self, writer: BatchWriter, run_id: str, *, token: int, last: int, ended: bool, held: bool = False
    ) -> None:
        self._writer = writer
        self._run_id, self._token = run_id, token
        self._last, self._ended = last, ended
        self._written: asyncio.Future[None] | None = None
        self._fresh: list[Event] = []
        self.group = Group(self._check if held else None)

    def append(self, event: Event) -> None:
        """Take the next event; LogError on a gap or after the end."""
        check_next(event, self._last, self._ended)
        self._last += 1
        self._ended = isinstance(event, RunFinished)
        self._fresh.append(event)
        if self._ended:
            self.group.delete(workflow_run_leases.c.run_id, self._run_id)

    def push(self) -> None:
        """Send what has gathered to the writer without waiting for it."""
        group = self.group
        fresh, self._fresh = self._fresh, []
        if fresh:
            payload = b"[" + b",".join([encode_event(event) for event in fresh]) + b"]"
            row = {"run_id": self._run_id, "seq": fresh[-1].seq, "type": fresh[-1].__struct_config__.tag}
            group.insert(workflow_run_events, {**row, "payload": payload.decode(), "created_at": utc_now()})
        if not group.inserts and not group.updates:
            return
        self.group = Group(self._check)
        self._written = self._writer.put(group)

    async def flush(self) -> None:
        """Return when everything appended is durable; RunFenced when another process took the run over."""
        self.push()
        if self._written is not None:
            await asyncio.shield(self._written)

    def _check(self, conn: sa.Connection) -> None:
        leases = workflow_run_leases
        query = sa.select(leases.c.token).where(leases.c.run_id == self._run_id)
        token = conn.execute(query).scalar()
        if token != self._token:
            raise RunFenced(f"Run {self._run_id} was taken over by another process.", run_id=self._run_id)
