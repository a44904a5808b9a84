"""Takes up runs whose process is gone: every API and worker process looks for leases that nobody renews.

A run that is taken up goes on from its log. One that cannot go on (what it ran is gone, its log does not fit, its
process was lost again and again without getting anywhere) is ended as failed, with the reason.
"""

from __future__ import annotations

import asyncio
import logging
import random
from datetime import timedelta

import sqlalchemy as sa
from dify_kernel.errors import DifyError, PlatformUnavailable, RunFenced
from redis.exceptions import RedisError

from dify_host.db.engine import Database, database_now
from dify_host.runs.commands import StopCommand
from dify_host.runs.context import RunContext, read_context
from dify_host.runs.ending import MoreRows, end_run
from dify_host.runs.event_log import NOBODY, SqlRunLogStore
from dify_host.runs.owner import is_gone
from dify_host.runs.service import RunService
from dify_host.runs.stops import StopFlags
from dify_host.runs.tables import workflow_run_leases

__all__ = ["Recovery"]

log = logging.getLogger(__name__)

_BATCH = 50


class Recovery:
    """Looks each `every` seconds; a lease must be over for `grace`, unless it was let go or its process is gone."""

    def __init__(
        self,
        db: Database,
        store: SqlRunLogStore,
        runs: RunService,
        stops: StopFlags,
        *,
        owner: str,
        every: float = 5.0,
        grace: timedelta = timedelta(seconds=5),
        more_rows: MoreRows = lambda _context: [],
    ) -> None:
        self._db, self._store, self._runs, self._stops = db, store, runs, stops
        self._owner, self._every, self._grace = owner, every, grace
        self._more_rows = more_rows
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look; starting twice is harmless."""
        if self._task is None:
            self._task = asyncio.create_task(self._look(), name="run-recovery")

    async def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def sweep(self) -> int:
        """Take up every run that is lost now, and return how many were taken up or ended."""
        count = 0
        for run_id in await self._lost():
            try:
                count += await self._take_up(run_id)
            except RunFenced as exc:
                log.info("A lost run has found another process: %s", exc)
            except PlatformUnavailable:
                raise  # the others would meet the same
            except DifyError as exc:
                log.warning("The lost run %s was not taken up, it is tried again: %s", run_id, exc)
        return count

    async def stop_left(self, command: StopCommand) -> None:
        """Stop a run that no process has, as it waits for somebody or is lost; one that a process has gets a flag.

        Only when it is the app's (and the user's, where one is named); nothing happens to any other.
        """
        run_id, leases = command.task_id, workflow_run_leases
        begun = await self._store.load(run_id, until=1, payloads=False)
        if not begun or not _belongs(read_context(begun), command):
            return
        await self._stops.set(run_id)
        async with self._db.read() as conn:
            lease = (await conn.execute(sa.select(leases).where(leases.c.run_id == run_id))).one_or_none()
            now = await database_now(conn)
        if lease is not None and (lease.owner == NOBODY or lease.expires_at < now):
            await self._stop(run_id)

    async def _stop(self, run_id: str) -> bool:
        try:
            return await self._end(run_id, status="stopped", error="Stopped by user.", error_type="Stopped")
        except RunFenced:
            return False  # a process has it again, and obeys

    async def _end(self, run_id: str, *, status: str, error: str, error_type: str) -> bool:
        return await end_run(
            self._db,
            self._store,
            run_id,
            owner=self._owner,
            status=status,
            error=error,
            error_type=error_type,
            more_rows=self._more_rows,
        )

    async def _look(self) -> None:
        while True:
            try:
                await self.sweep()
            except (DifyError, RedisError, OSError) as exc:
                log.warning("Lost runs were not looked for, it is tried again: %s", exc)
            await asyncio.sleep(self._every * random.uniform(0.5, 1.5))  # noqa: S311 - so that processes take turns

    async def _lost(self) -> list[str]:
        leases = workflow_run_leases
        async with self._db.read() as conn:
            now = await database_now(conn)
            let_go = sa.and_(leases.c.owner == NOBODY, leases.c.expires_at <= now)
            lost_or_let_go = sa.or_(leases.c.expires_at < now - self._grace, let_go)
            over = sa.select(leases.c.run_id).where(lost_or_let_go).order_by(leases.c.expires_at)
            lost = list((await conn.execute(over.limit(_BATCH))).scalars())
            owners = sa.select(leases.c.owner).where(leases.c.owner != NOBODY).distinct()
            gone = [owner for owner in (await conn.execute(owners)).scalars() if is_gone(owner)]
            if gone:
                theirs = sa.select(leases.c.run_id).where(leases.c.owner.in_(gone)).limit(_BATCH)
                lost += (await conn.execute(theirs)).scalars()
        if gone:
            await self._release(gone)
        return list(dict.fromkeys(lost))

    async def _release(self, owners: list[str]) -> None:
        """Let the leases of processes that are gone be over; whoever is first takes each run."""
        leases = workflow_run_leases
        async with self._db.write() as conn:
            now = await database_now(conn)
            await conn.execute(
                sa.update(leases)
                .where(leases.c.owner.in_(owners), leases.c.expires_at > now)
                .values(expires_at=now - self._grace)
            )

    async def _take_up(self, run_id: str) -> int:
        if await self._stops.is_set(run_id):
            return int(await self._stop(run_id))
        try:
            return int(await self._runs.take_up(run_id) is not None)
        except RunFenced:
            raise
        except DifyError as exc:
            if exc.retryable:
                raise
            log.warning("Run %s cannot go on: %s", run_id, exc)
            return int(await self.give_up(run_id, "The process that ran this run ended", exc))

    async def give_up(self, run_id: str, what: str, reason: DifyError) -> bool:
        """End a run as failed after `what` happened, as it could not go on; False when it has ended already."""
        error = f"{what}, and it could not go on: {reason.description}"
        return await self._end(run_id, status="failed", error=error, error_type=type(reason).__name__)


def _belongs(context: RunContext, command: StopCommand) -> bool:
    if context.run.app_id != command.app_id:
        return False
    return command.user_id is None or context.creator.id == command.user_id
