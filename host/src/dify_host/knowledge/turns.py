"""The job of the knowledge queue: one turn of one slot of a workspace, in which it works through its tasks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from dify_kernel.errors import DifyError

from dify_host.db.engine import Database
from dify_host.db.errors import DatabaseError
from dify_host.db.tenant import Tenant
from dify_host.knowledge.tasks import Task, Tasks

__all__ = ["TURN_SECONDS", "Handler", "TurnRunner"]

log = logging.getLogger(__name__)

#: After so long a turn ends, at the next place where its task can be left: the others of the queue come first.
TURN_SECONDS = 5.0
_BEAT_SECONDS = 60.0

#: Does a task until a time (of the monotonic clock); False when it is to go on in another turn.
Handler = Callable[[Task, float], Awaitable[bool]]


class TurnRunner:
    """Runs turns of every tenant; one per process. `handlers` do the tasks, by their purpose."""

    def __init__(
        self, db: Database, handlers: Mapping[str, Handler], *, slots: int = 2, seconds: float = TURN_SECONDS
    ) -> None:
        self._db = db
        self._handlers = handlers
        self._slots = slots
        self._seconds = seconds

    async def run(self, tenant_id: str, slot: int, turn: int) -> None:
        """Do tasks until the time is up or none is left; harmless when this turn is over already.

        A task whose handler raises keeps the error and is not tried again by itself. Raises when the database fails,
        so that the job is delivered again, and for a fault of ours, after the next turn is in the queue.
        """
        tasks = Tasks(self._db, Tenant(tenant_id), slots=self._slots)
        until = time.monotonic() + self._seconds
        async with _beating(tasks, slot, turn):
            while (task := await tasks.take(slot, turn)) is not None:
                try:
                    done = await self._handlers[task.purpose](task, until)
                except DatabaseError:
                    raise
                except DifyError as exc:
                    log.warning("Task %s of %s failed: %s", task.purpose, task.target_id, exc)
                    await tasks.settle(task, error=str(exc))
                except Exception as exc:
                    await tasks.settle(task, error=f"{type(exc).__name__}: {exc}")
                    await tasks.hand_on(slot, turn)
                    raise
                else:
                    if not done:
                        break
                    await tasks.settle(task)
                if time.monotonic() >= until:
                    break
        await tasks.hand_on(slot, turn)

    async def run_here(self, tenant_id: str) -> bool:
        """Run the present turns of a tenant where no worker is; False when no slot is at work.

        Their jobs stay in the queue and are out of turn when a worker finds them.
        """
        at_work = await Tasks(self._db, Tenant(tenant_id), slots=self._slots).at_work()
        for slot, turn in at_work:
            await self.run(tenant_id, slot, turn)
        return bool(at_work)


@contextlib.asynccontextmanager
async def _beating(tasks: Tasks, slot: int, turn: int) -> AsyncIterator[None]:
    """Say each minute that the turn is at work."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(_BEAT_SECONDS)
            try:
                await tasks.alive(slot, turn)
            except DatabaseError as exc:
                log.warning("Turn %d of slot %d could not say that it is at work: %s", turn, slot, exc)

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()
        await asyncio.wait([beating])
