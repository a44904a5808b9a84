"""The run log in SQL: appends of all runs of a process share transactions, a lease fences off a run's last owner.

A row holds the events of one flush of one run: `seq` and `type` are those of the last, `payload` is their JSON array.
Large values are in the storage before the row that names them is written; then `payload` is a frame (`large_values`).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
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
from dify_host.db.writer import BatchWriter, Claim, Group
from dify_host.runs.large_values import EventFrame, PayloadLost, pack_events
from dify_host.runs.leases import Leases
from dify_host.runs.log_queue import LogQueue
from dify_host.runs.payloads import Payloads, payload_key
from dify_host.runs.tables import (
    workflow_node_executions,
    workflow_payloads,
    workflow_run_events,
    workflow_run_leases,
    workflow_runs,
)
from dify_host.runs.well_formed import make_well_formed

__all__ = ["NOBODY", "SqlRunLog", "SqlRunLogStore"]

#: Who holds a run that waits for somebody: its lease has no end, so that no sweep takes the run for lost. Also who
#: holds one that its process let go; that lease is over.
NOBODY = ""
_NO_END = datetime(9999, 1, 1)
#: Fields of events that are repeated in rows, and the tables of those rows.
_REPEATED = ("inputs", "process_data", "outputs")
_REPEATING = (workflow_node_executions, workflow_runs)
#: Seconds that the end of a process waits for what is on its way to the storage.
_PATIENCE = 10.0


class SqlRunLogStore(RunLogStore):
    """All run logs of one database. `create` begins a run of this process, `open` takes over an existing one.

    A log's lease of `ttl` seconds is renewed until the log has ended, is released, or the store is closed. Without
    `payloads` large values stay in the database.
    """

    def __init__(
        self, db: Database, writer: BatchWriter, *, ttl: float = 30.0, payloads: Payloads | None = None
    ) -> None:
        self._db = db
        self.writer = writer
        self.payloads = payloads
        self._ttl = ttl
        self.leases = Leases(db, writer)
        #: What is on its way to the storage.
        self.tasks: set[asyncio.Task[None]] = set()

    def create(self, run_id: str, owner: str, *, ttl: float | None = None, tenant_id: str = "") -> SqlRunLog:
        """The log of a new run; its lease is written with the first events.

        Only with its workspace can large values leave the database.
        """
        ttl = self._ttl if ttl is None else ttl
        log = SqlRunLog(self, run_id, token=1, last=0, ended=False, owner=owner)
        log.serve(tenant_id)
        row = {"run_id": run_id, "owner": owner, "token": 1, "expires_at": self.leases.until(ttl)}
        log.group.insert(workflow_run_leases, row)
        log.group.refresh = partial(_extend, log.group.inserts[-1][1], self.leases, ttl)
        self.leases.hold(run_id, owner, ttl)
        return log

    async def open(self, run_id: str, owner: str, *, ttl: float | None = None) -> SqlRunLog:
        """Take the run's lease and fence its last owner; RunFenced while another owner's lease is alive.

        The log of a run that has ended is open for nobody: it takes no event, and there is no lease to hold.
        """
        ttl = self._ttl if ttl is None else ttl
        try:
            token, last, ended, let_go = await self._take(run_id, owner, ttl)
            known = await self._referred(run_id) if self.payloads is not None and not ended else ()
        except Conflict as exc:
            raise RunFenced(f"Run {run_id} was taken by another process just now.", run_id=run_id) from exc
        if not ended:
            self.leases.hold(run_id, owner, ttl)
        log = SqlRunLog(self, run_id, token=token, last=last, ended=ended, held=True, referred=known)
        log.let_go = let_go
        return log

    async def _referred(self, run_id: str) -> Sequence[str]:
        """What the run has in the storage already."""
        mine = sa.select(workflow_payloads.c.object_key).where(workflow_payloads.c.owner_id == run_id)
        async with self._db.read() as conn:
            return (await conn.execute(mine)).scalars().all()

    async def _take(self, run_id: str, owner: str, ttl: float) -> tuple[int, int, bool, bool]:
        """Lock the lease, then look how far the run has come: token, last seq, whether it ended, or was let go."""
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
        let_go = lease is not None and lease.owner == NOBODY and lease.expires_at < _NO_END
        return token, seq, ended, let_go

    async def close(self) -> None:
        """Renew no lease any more; what is still running may be taken over when its lease ends."""
        if self.tasks:
            await asyncio.wait(set(self.tasks), timeout=_PATIENCE)
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.leases.close()

    async def load(
        self, run_id: str, *, after: int = 0, until: int | None = None, payloads: bool = True
    ) -> list[AnyEvent]:
        """The durable events with seq > after, in order; with `until` no rows beyond the one that holds that event.

        Large values come from the storage; PayloadLost when one is gone. Without `payloads` they are empty.
        """
        events = workflow_run_events
        query = (
            sa.select(events.c.payload).where(events.c.run_id == run_id, events.c.seq > after).order_by(events.c.seq)
        )
        if until is not None:
            query = query.limit(max(until - after, 1))
        async with self._db.read() as conn:
            rows = (await conn.execute(query)).scalars().all()
        frames = {number: EventFrame.read(row) for number, row in enumerate(rows) if row.startswith("{")}
        values = await self._values(run_id, list(frames.values())) if frames and payloads else None
        found: list[AnyEvent] = []
        for number, row in enumerate(rows):
            part = frames[number].whole(values) if number in frames else decode_events(row.encode())
            found += [event for event in part if event.seq > after]
        return found

    async def _values(self, run_id: str, frames: Sequence[EventFrame]) -> dict[str, bytes]:
        if self.payloads is None:
            raise PayloadLost("Large values of the run are in a storage that is not open here.", run_id=run_id)
        wanted = {key: {"run_id": run_id, **where} for frame in frames for key, where in frame.wanted().items()}
        return await self.payloads.load(wanted)


class SqlRunLog:
    """The open log of one run. Rows that belong to the run go into `group`, to be written with its events."""

    def __init__(
        self,
        store: SqlRunLogStore,
        run_id: str,
        *,
        token: int,
        last: int,
        ended: bool,
        held: bool = False,
        referred: Sequence[str] = (),
        owner: str = "",
    ) -> None:
        self._leases, self._payloads = store.leases, store.payloads
        self._run_id, self._token, self._owner = run_id, token, owner
        self._last, self._ended = last, ended
        self._written: asyncio.Future[None] | None = None
        self._fresh: list[bytes] = []
        self._large: dict[int, Event] = {}
        self._limit, self._tenant_id = sys.maxsize, ""
        self._referred = set(referred)
        self._type = ""
        self._queue = LogQueue(store.writer, self._check, held=held, tasks=store.tasks)
        self.group = Group()
        #: Whether who had the run before let it go in order.
        self.let_go = False

    def serve(self, tenant_id: str) -> None:
        """Tell whose run it is: from now on its large values go to the storage."""
        self._tenant_id = tenant_id
        if tenant_id and self._payloads is not None and self._payloads.limit:
            self._limit = self._payloads.limit

    def append(self, event: Event) -> None:
        """Take the next event; LogError on a gap or after the end."""
        check_next(event, self._last, self._ended)
        try:
            data = encode_event(event)
        except UnicodeEncodeError:
            make_well_formed(event)
            data = encode_event(event)
        if len(data) > self._limit:  # it is encoded again when its values go; until then it only takes memory
            self._large[len(self._fresh)] = event
            data = b""
        self._fresh.append(data)
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
        large, self._large = self._large, {}
        ready = None
        if fresh:
            row = {"run_id": self._run_id, "seq": self._last, "type": self._type, "created_at": utc_now()}
            if large:
                ready = partial(self._make_ready, group, row, fresh, large, _repeats(group, large))
            else:
                group.insert(workflow_run_events, {**row, "payload": (b"[" + b",".join(fresh) + b"]").decode()})
        elif not group.inserts and not group.updates and not group.statements and not group.deletes:
            return None
        self.group = Group()
        if group.refresh is self.group.refresh:  # the first of a run has one of its own
            group.refresh = partial(self._renew, group, renewal=[])
        self._written = self._queue.put(group, ready)
        return self._written

    async def _make_ready(
        self,
        group: Group,
        row: dict[str, Any],
        fresh: Sequence[bytes],
        large: Mapping[int, Event],
        repeats: Sequence[_Repeat],
    ) -> None:
        """Bring the large values of a group to the storage, and let its rows name them."""
        payloads = self._payloads
        assert payloads is not None  # without, nothing counts as large
        name = partial(payload_key, self._tenant_id, now=utc_now())
        packed = await asyncio.to_thread(pack_events, fresh, large, limit=payloads.limit, name=name)
        await payloads.keep(packed.values, run_id=self._run_id)
        for values, column, place in repeats:
            values[column] = packed.columns.get(place, values[column])
        for key in packed.values.keys() - self._referred:
            group.insert(workflow_payloads, {"owner_id": self._run_id, "object_key": key})
        self._referred |= packed.values.keys()
        group.insert(workflow_run_events, {**row, "payload": packed.payload})

    async def flush(self) -> None:
        """Return when everything appended is durable; RunFenced when another process took the run over."""
        self.push()
        if self._written is not None:
            await asyncio.shield(self._written)

    def release(self, *, in_order: bool = False) -> None:
        """Let the run go before its end: what was appended is sent, and another process may take it over at once.

        `in_order` says that the run did not bring it about.
        """
        self._leases.drop(self._run_id)
        if not self._queue.failed:  # else what was appended since is lost, and worked out again
            if self._ended:
                return
            self.push()
        owner = {"owner": NOBODY} if in_order else {}
        over = Group()
        # A second ago: what is known here of the database's clock may be a little ahead of it.
        over.execute(self._lease(expires_at=self._leases.until(-1), **owner))
        self._written = self._queue.put_last(over)

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

    def _renew(self, group: Group, renewal: list[sa.Update]) -> None:
        """Let events renew a lease that is nearly over, or the run would be another's as soon as they are written."""
        until = self._leases.due(self._run_id)
        if until is not None:
            kept = [change for change in group.statements if change not in renewal]
            renewal[:] = [self._lease(expires_at=until)]
            group.statements[:] = [*renewal, *kept]

    def _lease(self, **values: Any) -> sa.Update:
        leases = workflow_run_leases
        mine = sa.and_(leases.c.run_id == self._run_id, leases.c.token == self._token)
        if self._owner:  # every run begins with the same token, also one that another process has begun before
            mine = sa.and_(mine, leases.c.owner == self._owner)
        return sa.update(leases).where(mine).values(**values)

    def _check(self, before: asyncio.Future[None] | None, conn: sa.Connection) -> Claim | None:
        """Refuse the group when the lease is another's.

        The row is locked until the group is durable, so that nobody takes the run over in between. An earlier group
        that is not durable yet stands in the same batch, and was checked there.
        """
        if before is not None and not before.done():
            return None
        leases = workflow_run_leases
        return Claim(leases.c.run_id, self._run_id, leases.c.token, self._token, self._fenced)

    def _fenced(self) -> RunFenced:
        return RunFenced(f"Run {self._run_id} was taken over by another process.", run_id=self._run_id)


def _extend(row: dict[str, Any], leases: Leases, ttl: float) -> None:
    """Let the lease of a new run begin when it is written."""
    row["expires_at"] = leases.until(ttl)


_Repeat = tuple[dict[str, Any], str, tuple[int, str]]
"""Values of a row, the column that repeats a field of an event, and which: the event's number, the field."""


def _repeats(group: Group, large: Mapping[int, Event]) -> list[_Repeat]:
    """Where the rows of a group hold what large events hold."""
    fields = {
        id(value): (number, field)
        for number, event in large.items()
        for field in _REPEATED
        if (value := getattr(event, field, None))
    }
    rows = [row for table, row in group.inserts if table in _REPEATING]
    rows += [values for (table, _), values in group.updates.items() if table in _REPEATING]
    return [
        (row, column, fields[id(row[column])])
        for row in rows
        for column in _REPEATED
        if column in row and id(row[column]) in fields
    ]
