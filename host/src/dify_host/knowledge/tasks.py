"""What is to be done for the knowledge bases of a workspace, and whose turn it is: no workspace starves another.

A task is a row, written in the transaction of what makes it necessary, and stays until it is done. A workspace has a
few slots. The queue holds one job for each slot that is at work, whatever the number of its tasks; a job is one turn:
it works for some seconds and then puts the next turn of its slot at the end of the queue, behind those of others.
A turn that is delivered twice is one turn: its number is compared first.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.db.engine import Database
from dify_host.db.outbox import enqueue
from dify_host.db.repository import TenantRepository, to_struct
from dify_host.db.statements import insert_missing
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id, utc_now
from dify_host.knowledge.tables import knowledge_tasks, knowledge_turns

__all__ = [
    "ACTOR",
    "EMPTY",
    "IMPORT",
    "INDEX",
    "QUEUE",
    "REBUILD",
    "RETIRE",
    "SWITCH",
    "Task",
    "Tasks",
    "wake_lost_turns",
]

ACTOR = "index_documents"
QUEUE = "dataset"
#: Purposes: bring a document to its end; put it into a new index, let searches ask that one when all are in it, forget
#: the old one; read segments from a file; empty what a deleted dataset had.
INDEX, REBUILD, SWITCH, RETIRE, IMPORT, EMPTY = "index", "rebuild", "switch", "retire", "import", "empty"

#: A slot at work says so every minute; one that is silent for longer has lost its job.
SILENT = timedelta(minutes=5)


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to do; `target_id` is the document's, the dataset's or the import's. `note` says what it waits for.

    `error` is why it is not tried again by itself. `slot` is the one that works on it, None while it waits.
    """

    id: str
    tenant_id: str
    dataset_id: str
    target_id: str
    purpose: str
    payload: dict[str, Any] | None
    requested: str
    slot: int | None
    taken_at: datetime | None
    note: str | None
    error: str | None


class Tasks(TenantRepository):
    """The tasks of one tenant; `slots` is how many of them are worked on at a time."""

    def __init__(self, db: Database, tenant: Tenant, *, slots: int = 2) -> None:
        super().__init__(db, tenant)
        self._slots = slots

    # -- asking ------------------------------------------------------------------------------------------------

    async def add(
        self,
        conn: AsyncConnection,
        purpose: str,
        dataset_id: str,
        target_ids: list[str],
        payload: dict[str, Any] | None = None,
    ) -> None:
        """Ask for these tasks in the caller's transaction; one that is asked for already is asked for once more.

        So one that is under work is done again after that, and one that had failed is tried again.
        """
        if not target_ids:
            return
        turns = await self._locked(conn)
        asked = new_id()
        rows = [
            {
                "id": new_id(),
                "tenant_id": self.tenant.id,
                "dataset_id": dataset_id,
                "target_id": target_id,
                "purpose": purpose,
                "payload": payload,
                "requested": asked,
            }
            for target_id in target_ids
        ]
        await insert_missing(conn, knowledge_tasks, rows, key=["purpose", "target_id"])
        again = {"requested": asked, "error": None, "payload": payload}
        for start in range(0, len(target_ids), 500):
            group = target_ids[start : start + 500]
            change = self.scoped_update(knowledge_tasks, again).where(
                knowledge_tasks.c.purpose == purpose, knowledge_tasks.c.target_id.in_(group)
            )
            await conn.execute(change.where(knowledge_tasks.c.requested != asked))
        resting = [turn for turn in turns[: self._slots] if not turn.active]
        for turn in resting[: len(target_ids)]:
            await self._start(conn, turn.slot, turn.turn + 1)

    async def drop(
        self, conn: AsyncConnection, *, purpose: str | None = None, waiting: bool = False, **where: str
    ) -> None:
        """Forget tasks of a dataset or target: drop(conn, dataset_id=…) or drop(conn, target_id=…).

        With `waiting`, those that a worker has in hand stay.
        """
        conditions = [knowledge_tasks.c[name] == value for name, value in where.items()]
        if purpose is not None:
            conditions.append(knowledge_tasks.c.purpose == purpose)
        if waiting:
            conditions.append(knowledge_tasks.c.slot.is_(None))
        # The slots before the tasks, as whoever takes one locks them: another order would be a deadlock.
        turns = self.scoped_select(knowledge_turns, knowledge_turns.c.slot).order_by(knowledge_turns.c.slot)
        await conn.execute(turns.with_for_update())
        await conn.execute(self.scoped_delete(knowledge_tasks).where(*conditions))

    async def in_hand(self, conn: AsyncConnection, *, but: str = "", **where: str) -> bool:
        """Whether a worker has a task of a dataset or target in hand, except the one with the id `but`."""
        conditions = [knowledge_tasks.c[name] == value for name, value in where.items()]
        query = self.scoped_select(knowledge_tasks, knowledge_tasks.c.id).where(
            *conditions, knowledge_tasks.c.slot.is_not(None)
        )
        return any(found != but for found in (await conn.execute(query)).scalars())

    async def of(self, conn: AsyncConnection, purpose: str, target_ids: list[str]) -> dict[str, Task]:
        """The open tasks of these targets, by target."""
        query = self.scoped_select(knowledge_tasks).where(
            knowledge_tasks.c.purpose == purpose, knowledge_tasks.c.target_id.in_(target_ids)
        )
        return {row.target_id: to_struct(row, Task) for row in await conn.execute(query)}

    async def before(self, conn: AsyncConnection, task: Task) -> int:
        """How many tasks of the tenant are done before this one."""
        query = self.scoped_select(knowledge_tasks, sa.func.count()).where(
            knowledge_tasks.c.id < task.id, knowledge_tasks.c.error.is_(None)
        )
        return int((await conn.execute(query)).scalar_one())

    async def left(self, conn: AsyncConnection, purpose: str, dataset_id: str) -> tuple[int, str | None]:
        """How many tasks of a purpose a dataset has, and the error of one that has failed."""
        query = self.scoped_select(
            knowledge_tasks, sa.func.count().label("number"), sa.func.max(knowledge_tasks.c.error).label("error")
        ).where(knowledge_tasks.c.purpose == purpose, knowledge_tasks.c.dataset_id == dataset_id)
        row = (await conn.execute(query)).one()
        return int(row.number), row.error

    async def seen(self, conn: AsyncConnection) -> datetime | None:
        """When a worker was last at work for the tenant, or was asked for; None when nothing is to be done."""
        query = self.scoped_select(knowledge_turns, sa.func.max(knowledge_turns.c.looked_at))
        found: datetime | None = (await conn.execute(query.where(knowledge_turns.c.active.is_(True)))).scalar_one()
        return found

    async def at_work(self) -> list[tuple[int, int]]:
        """The slots of the tenant that are at work, each with its turn."""
        query = self.scoped_select(knowledge_turns, knowledge_turns.c.slot, knowledge_turns.c.turn)
        async with self.db.read() as conn:
            rows = await conn.execute(query.where(knowledge_turns.c.active.is_(True)).order_by(knowledge_turns.c.slot))
            return [(row.slot, row.turn) for row in rows]

    # -- working -----------------------------------------------------------------------------------------------

    async def take(self, slot: int, turn: int) -> Task | None:
        """The task that this slot goes on with, else the oldest that waits; None without one or out of turn."""
        return await self.db.run_write(lambda conn: self._taken(conn, slot, turn))

    async def settle(self, task: Task, *, error: str | None = None) -> None:
        """Record that a task is done, or why it failed; one that was asked for meanwhile waits again."""
        await self.db.run_write(lambda conn: self._settled(conn, task, error))

    def _taken(self, conn: sa.Connection, slot: int, turn: int) -> Task | None:
        # The lock on the slots' rows keeps two slots from taking the same task.
        turns = self.scoped_select(knowledge_turns).order_by(knowledge_turns.c.slot).with_for_update()
        held = {row.slot: row for row in conn.execute(turns)}
        if slot not in held or not held[slot].active or held[slot].turn != turn:
            return None
        conn.execute(self._mine(slot, turn, looked_at=utc_now()))
        mine = sa.or_(knowledge_tasks.c.slot == slot, knowledge_tasks.c.slot.is_(None))
        query = self.scoped_select(knowledge_tasks).where(knowledge_tasks.c.error.is_(None), mine)
        first = query.order_by(knowledge_tasks.c.slot.is_(None), knowledge_tasks.c.id).limit(1)
        row = conn.execute(first).one_or_none()
        if row is None:
            return None
        taken = self.scoped_update(knowledge_tasks, {"slot": slot, "taken_at": utc_now()})
        conn.execute(taken.where(knowledge_tasks.c.id == row.id))
        return to_struct(row, Task)

    def _settled(self, conn: sa.Connection, task: Task, error: str | None) -> None:
        unchanged = knowledge_tasks.c.id == task.id, knowledge_tasks.c.requested == task.requested
        if error is None:
            ended = conn.execute(self.scoped_delete(knowledge_tasks).where(*unchanged))
        else:
            failed = {"error": error, "slot": None, "note": None}
            ended = conn.execute(self.scoped_update(knowledge_tasks, failed).where(*unchanged))
        if ended.rowcount == 0:
            waits = self.scoped_update(knowledge_tasks, {"slot": None, "note": None})
            conn.execute(waits.where(knowledge_tasks.c.id == task.id))

    async def note(self, purpose: str, target_id: str, note: str | None) -> None:
        """Say what a task that is under work waits for; None when it goes on."""
        change = self.scoped_update(knowledge_tasks, {"note": note}).where(
            knowledge_tasks.c.purpose == purpose, knowledge_tasks.c.target_id == target_id
        )
        async with self.db.write() as conn:
            await conn.execute(change)

    async def remember(self, task: Task, payload: dict[str, Any]) -> None:
        """Keep how far a task is, for the turn that goes on with it; nothing when it was asked for anew meanwhile."""
        same = knowledge_tasks.c.id == task.id, knowledge_tasks.c.requested == task.requested
        async with self.db.write() as conn:
            await conn.execute(self.scoped_update(knowledge_tasks, {"payload": payload}).where(*same))

    async def postpone(self, conn: AsyncConnection, task: Task) -> None:
        """Put a task that is under work behind all others that wait."""
        removed = await conn.execute(self.scoped_delete(knowledge_tasks).where(knowledge_tasks.c.id == task.id))
        if removed.rowcount:
            fields = ("dataset_id", "target_id", "purpose", "payload", "requested")
            row = {"id": new_id(), **{name: getattr(task, name) for name in fields}}
            await conn.execute(self.scoped_insert(knowledge_tasks, row))

    async def alive(self, slot: int, turn: int) -> None:
        """Say that this turn is at work."""
        async with self.db.write() as conn:
            await conn.execute(self._mine(slot, turn, looked_at=utc_now()))

    async def hand_on(self, slot: int, turn: int) -> None:
        """End a turn: the next one goes to the end of the queue, or the slot rests when nothing waits."""
        await self.db.write_inline(lambda conn: self._handed_on(conn, slot, turn))

    async def _handed_on(self, conn: AsyncConnection, slot: int, turn: int) -> None:
        if not await self._has_turn(conn, slot, turn):
            return
        query = self.scoped_select(knowledge_tasks, knowledge_tasks.c.id).where(
            knowledge_tasks.c.error.is_(None),
            sa.or_(knowledge_tasks.c.slot.is_(None), knowledge_tasks.c.slot == slot),
        )
        if (await conn.execute(query.limit(1))).one_or_none() is not None:
            await self._start(conn, slot, turn + 1)
        else:
            await conn.execute(self._mine(slot, turn, active=False))

    # -- turns -------------------------------------------------------------------------------------------------

    async def _locked(self, conn: AsyncConnection) -> list[Any]:
        """The tenant's slots in order, locked until the transaction ends; made when they are not there."""
        query = self.scoped_select(knowledge_turns).order_by(knowledge_turns.c.slot).with_for_update()
        found = (await conn.execute(query)).all()
        if len(found) < self._slots:
            rows = [{"tenant_id": self.tenant.id, "slot": slot, "turn": 0} for slot in range(self._slots)]
            await insert_missing(conn, knowledge_turns, rows, key=["tenant_id", "slot"])
            found = (await conn.execute(query)).all()
        return list(found)

    async def _has_turn(self, conn: AsyncConnection, slot: int, turn: int) -> bool:
        turns = {row.slot: row for row in await self._locked(conn)}
        return slot in turns and turns[slot].active and turns[slot].turn == turn

    async def _start(self, conn: AsyncConnection, slot: int, turn: int) -> None:
        begun = {"turn": turn, "active": True, "looked_at": utc_now()}
        await conn.execute(self.scoped_update(knowledge_turns, begun).where(knowledge_turns.c.slot == slot))
        await enqueue(conn, ACTOR, {"tenant_id": self.tenant.id, "slot": slot, "turn": turn}, queue=QUEUE)

    def _mine(self, slot: int, turn: int, **values: Any) -> sa.Update:
        """Change this slot while it has this turn."""
        mine = knowledge_turns.c.slot == slot, knowledge_turns.c.turn == turn
        return self.scoped_update(knowledge_turns, values).where(*mine)


async def wake_lost_turns(db: Database, *, silent: timedelta = SILENT) -> int:
    """Send the jobs of slots again that say nothing any more, as those of a queue that lost its data; returns how many.

    One that was only waiting for a worker is then there twice, which is harmless.
    """
    async with db.write() as conn:
        lost = sa.select(knowledge_turns).where(
            knowledge_turns.c.active.is_(True), knowledge_turns.c.looked_at < utc_now() - silent
        )
        rows = (await conn.execute(lost.with_for_update(skip_locked=True))).all()
        for row in rows:
            await enqueue(conn, ACTOR, {"tenant_id": row.tenant_id, "slot": row.slot, "turn": row.turn}, queue=QUEUE)
            mine = knowledge_turns.c.tenant_id == row.tenant_id, knowledge_turns.c.slot == row.slot
            await conn.execute(knowledge_turns.update().where(*mine).values(looked_at=utc_now()))
    return len(rows)
