"""Why a document is not indexed yet, in words: no document waits without a reason that can be seen."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.db.types import utc_now
from dify_host.knowledge.records import Document
from dify_host.knowledge.tasks import INDEX, Tasks

__all__ = ["reasons"]

_QUIET = timedelta(minutes=2)


async def reasons(conn: AsyncConnection, tasks: Tasks, found: Sequence[Document]) -> dict[str, str]:
    """What each document that is not at its end waits for, by its id; documents at their end are left out."""
    going = [document for document in found if document.indexing_status not in ("completed", "error")]
    queued = await tasks.of(conn, INDEX, [document.id for document in going]) if going else {}
    quiet = await _quiet(conn, tasks) if queued else ""
    told: dict[str, str] = {}
    for document in going:
        task = queued.get(document.id)
        if document.is_paused:
            told[document.id] = "It is paused, and goes on when it is resumed."
        elif task is None:
            told[document.id] = "It has no task: the run of a knowledge pipeline writes it, or it is to be retried."
        elif task.error is not None:
            told[document.id] = f"Its task failed: {task.error}"
        elif task.note is not None:
            told[document.id] = task.note
        elif task.slot is not None:
            told[document.id] = "A worker has it in hand."
        else:
            before = await tasks.before(conn, task)
            told[document.id] = f"{before} tasks of this workspace are before it." if before else "It is the next."
            if quiet:
                told[document.id] += f" {quiet}"
    return told


async def _quiet(conn: AsyncConnection, tasks: Tasks) -> str:
    """Say that no worker has been here for a while; nothing while one is."""
    seen = await tasks.seen(conn)
    if seen is None or utc_now() - seen < _QUIET:
        return ""
    return f"No worker has come for it since {seen:%H:%M:%S} UTC: they are busy, or none runs (`dify worker`)."
