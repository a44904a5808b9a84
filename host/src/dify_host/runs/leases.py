"""Keeps the leases of this process's runs alive: one UPDATE for all that are due, through the writer of their rows."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import datetime, timedelta

import msgspec
import sqlalchemy as sa
from dify_kernel.errors import DifyError

from dify_host.db.engine import Database, database_now
from dify_host.db.types import utc_now
from dify_host.db.writer import BatchWriter, Group
from dify_host.runs.tables import workflow_run_leases

__all__ = ["Leases"]

log = logging.getLogger(__name__)
_ROWS = 1000


class _Held(msgspec.Struct):
    owner: str
    ttl: float
    renewed: float


class Leases:
    """The leases that this process holds. A lease is renewed when a third of its time is over.

    Renewals take their turn among the other batches of the process, so that the two never lock rows in a different
    order. Times are the database's: the difference to this process's clock is measured with every renewal.
    """

    def __init__(self, db: Database, writer: BatchWriter) -> None:
        self._db, self._writer = db, writer
        self._held: dict[str, _Held] = {}
        self._ahead = timedelta()
        self._task: asyncio.Task[None] | None = None
        self._every = 0.0

    def until(self, ttl: float) -> datetime:
        """When a lease ends that is taken now, on the database's clock."""
        return utc_now() + self._ahead + timedelta(seconds=ttl)

    def hold(self, run_id: str, owner: str, ttl: float) -> None:
        """Renew a run's lease from now on, until it is dropped."""
        self._held[run_id] = _Held(owner, ttl, time.monotonic())
        if self._task is None or self._task.done() or ttl / 3 < self._every:
            if self._task is not None:
                self._task.cancel()
            self._every = ttl / 3
            self._task = asyncio.create_task(self._beat(), name="run-leases")

    def due(self, run_id: str) -> datetime | None:
        """Until when a lease must last that could not be renewed in time; None while that was no trouble."""
        held = self._held.get(run_id)
        late = held is not None and held.renewed + held.ttl * 2 / 3 <= time.monotonic()
        return self.until(held.ttl) if held is not None and late else None

    def drop(self, run_id: str) -> None:
        """Renew it no longer; harmless when it is not held."""
        self._held.pop(run_id, None)

    async def close(self) -> None:
        """Renew nothing any more."""
        self._held.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _beat(self) -> None:
        while self._held:
            await asyncio.sleep(self._every)
            try:
                await self._measure()
                await self._renew()
            except DifyError as exc:
                log.warning("Leases of runs were not renewed, it is tried again: %s", exc)

    async def _measure(self) -> None:
        async with self._db.read() as conn:
            self._ahead = await database_now(conn) - utc_now()

    async def _renew(self) -> None:
        """Young leases wait for the next turn: most runs end before they need it."""
        now = time.monotonic()
        due: dict[tuple[str, float], list[str]] = {}
        for run_id, held in self._held.items():
            if held.renewed + held.ttl / 3 <= now:
                due.setdefault((held.owner, held.ttl), []).append(run_id)
        if not due:
            return
        leases, group = workflow_run_leases, Group()
        for (owner, ttl), run_ids in due.items():
            for start in range(0, len(run_ids), _ROWS):
                mine = sa.and_(leases.c.run_id.in_(run_ids[start : start + _ROWS]), leases.c.owner == owner)
                group.execute(sa.update(leases).where(mine).values(expires_at=self.until(ttl)))
        await self._writer.put(group)
        for run_id in (run_id for run_ids in due.values() for run_id in run_ids):
            if run_id in self._held:
                self._held[run_id].renewed = now
