"""Hands the groups of one run to the writer in their order, each when what it refers to is in the storage."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import sqlalchemy as sa

from dify_host.db.writer import BatchWriter, Claim, Group
from dify_host.runs.payloads import PayloadNotKept

__all__ = ["LogQueue"]

Check = Callable[["asyncio.Future[None] | None", sa.Connection], "Claim | None"]
Ready = Callable[[], Awaitable[None]]


class LogQueue:
    """The way of one run's groups. Most go straight to the writer; a queue forms behind one that is not ready.

    `check` is asked within the transaction of each group, with the outcome of the group before it; of a run that is
    not `held` already, the first group is not checked. `tasks` holds what is under way.
    """

    def __init__(self, writer: BatchWriter, check: Check, *, held: bool, tasks: set[asyncio.Task[None]]) -> None:
        self._writer, self._check, self._held, self._tasks = writer, check, held, tasks
        self._sent: asyncio.Future[None] | None = None
        self._waiting: list[tuple[Group, Ready | None, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None
        self._last: tuple[Group, asyncio.Future[None]] | None = None
        #: Why a group could not be made ready; nothing that comes after it may be written.
        self.broken: BaseException | None = None

    def put(self, group: Group, ready: Ready | None = None) -> asyncio.Future[None]:
        """Take a group, which `ready` completes before it is written; the future ends when it is durable."""
        if ready is None and self._task is None and self.broken is None:
            return self.write(group)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.add_done_callback(_seen)
        if self.broken is not None:
            future.set_exception(self.broken)
            return future
        self._waiting.append((group, ready, future))
        if self._task is None:
            self._task = asyncio.create_task(self._drain(), name="run-log-values")
            self._tasks.add(self._task)
            self._task.add_done_callback(self._tasks.discard)
        return future

    @property
    def failed(self) -> bool:
        """Whether a group is known to be lost; all that come after it are."""
        sent = self._sent
        lost = sent is not None and sent.done() and not sent.cancelled() and sent.exception() is not None
        return lost or self.broken is not None

    def put_last(self, group: Group) -> asyncio.Future[None]:
        """Take a group that is written after all others, and also when they were lost."""
        if self._task is None:
            return self._writer.put(group)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.add_done_callback(_seen)
        self._last = (group, future)
        return future

    def write(self, group: Group) -> asyncio.Future[None]:
        """Hand a group to the writer at once, whatever waits."""
        group.check, group.after = partial(self._check, self._sent), self._sent
        group.makes_claim = not self._held and self._sent is None
        self._sent = self._writer.put(group)
        return self._sent

    async def _drain(self) -> None:
        try:
            while self._waiting:
                group, ready, _ = self._waiting[0]
                if ready is not None:
                    await ready()
                _, _, future = self._waiting.pop(0)
                self.write(group).add_done_callback(partial(_tell, future))
        except asyncio.CancelledError:
            self._break(PayloadNotKept("The process ended before a large value of a run was kept."))
            raise
        except Exception as exc:
            self._break(exc)
        finally:
            self._task = None
            if self._last is not None:
                group, future = self._last
                self._writer.put(group).add_done_callback(partial(_tell, future))

    def _break(self, error: BaseException) -> None:
        self.broken = error
        while self._waiting:
            _, _, future = self._waiting.pop(0)
            if not future.done():
                future.set_exception(error)


def _tell(future: asyncio.Future[None], written: asyncio.Future[None]) -> None:
    """Pass the outcome on."""
    if future.done():
        return
    if written.cancelled():
        future.cancel()
    elif (error := written.exception()) is not None:
        future.set_exception(error)
    else:
        future.set_result(None)


def _seen(future: asyncio.Future[None]) -> None:
    """Mark the outcome as seen: not everybody who puts a group waits for it."""
    if not future.cancelled():
        future.exception()
