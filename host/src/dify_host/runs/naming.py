"""Names a new conversation by the workspace's default model, while its first message is answered.

Until then, and when the model does not help, it has the name that its first question gives it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import sqlalchemy as sa
from dify_kernel.errors import DifyError

from dify_host.db.writer import BatchWriter, Group
from dify_host.runs.message_rows import MessageSpec, conversation_name
from dify_host.runs.tables import conversations

__all__ = ["Naming"]

log = logging.getLogger(__name__)

_SECONDS: Final = 30.0


Find = Callable[[str], Awaitable[str | None]]
"""Finds a name for the conversation that a question begins."""


class _Ends(Protocol):
    async def wait(self) -> object: ...


class Naming:
    """Runs such tasks of one process."""

    def __init__(self, writer: BatchWriter) -> None:
        self._writer = writer
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, find: Find, run: _Ends, spec: MessageSpec | None) -> asyncio.Task[None] | None:
        """Find a name beside the run; None when the message begins no conversation that people see."""
        if spec is None or not spec.fresh or spec.mode == "completion" or not spec.query.strip():
            return None
        task = asyncio.create_task(self._name(find, run, spec), name="conversation-name")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """Name nothing more."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _name(self, find: Find, run: _Ends, spec: MessageSpec) -> None:
        try:
            async with asyncio.timeout(_SECONDS):
                name = await find(spec.query)
            if name is not None:
                await run.wait()  # the conversation's row is written by then
                await self._keep(spec, name)
        except (DifyError, TimeoutError) as exc:
            log.info("conversation %s keeps the name of its question: %s", spec.conversation_id, exc)

    async def _keep(self, spec: MessageSpec, name: str) -> None:
        """Set the name, unless somebody gave it another meanwhile."""
        table, group = conversations, Group()
        unnamed = sa.and_(
            table.c.id == spec.conversation_id,
            table.c.app_id == spec.app_id,
            table.c.name == conversation_name(spec.query),
        )
        group.execute(sa.update(table).where(unnamed).values(name=name))
        await self._writer.put(group)
