"""The index of a knowledge base that was deleted while something wrote to it: emptied when the last writer has ended.

Who deletes cannot see what a worker writes a moment later, and a worker that is killed takes nothing back. So the task
that a worker has in hand outlives the deletion: the worker, or the one that goes on in its place, finds the document
gone and takes it out of the index. The index of a whole knowledge base waits for all of those.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from dify_kernel.contracts.ports import ModelsPort
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.db.engine import Database
from dify_host.db.tenant import Tenant
from dify_host.knowledge.errors import DatasetNotFound
from dify_host.knowledge.index_writer import IndexWriter
from dify_host.knowledge.records import Dataset
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.knowledge.tables import dataset_keywords, documents
from dify_host.knowledge.tasks import EMPTY, INDEX, Task, Tasks
from dify_host.knowledge.vectors import VectorStores

__all__ = ["Emptier", "empty_later", "forget_later", "forget_missing"]

_LOOK_SECONDS: Final = 0.5


async def forget_later(conn: AsyncConnection, tasks: Tasks, dataset_id: str, document_id: str, *, held: bool) -> None:
    """End the tasks of a document that is deleted in this transaction; what a worker may still write is taken out.

    `held` says that a worker had it in hand before the document left the index.
    """
    await tasks.drop(conn, waiting=True, target_id=document_id)
    if held:
        await tasks.add(conn, INDEX, dataset_id, [document_id])


async def empty_later(
    conn: AsyncConnection, tasks: Tasks, dataset: Dataset, retired: Sequence[Dataset], *, held: bool
) -> None:
    """End the tasks of a dataset that is deleted in this transaction; what workers may still write is taken out.

    `retired` is the dataset by indexes that wait to be emptied.
    """
    await tasks.drop(conn, waiting=True, dataset_id=dataset.id)
    if not (held or await tasks.in_hand(conn, dataset_id=dataset.id)):
        return
    places = [dataset, *([dataset.serving] if dataset.serving else []), *retired]
    payload: dict[str, Any] = {"places": msgspec.to_builtins(places)}
    await tasks.add(conn, EMPTY, dataset.id, [dataset.id], payload)


async def forget_missing(rows: KnowledgeRepository, writer: IndexWriter, dataset_id: str, document_id: str) -> bool:
    """Take a document that is not there any more out of its index; False when it is there."""
    async with rows.db.read() as conn:
        there = rows.scoped_select(documents, documents.c.id).where(documents.c.id == document_id)
        if (await conn.execute(there)).one_or_none() is not None:
            return False
        try:
            dataset = await rows.dataset(conn, dataset_id)
        except DatasetNotFound:  # its own deletion has seen to that
            return True
    await writer.remove_document(dataset, document_id)
    return True


class Emptier:
    """Empties indexes of deleted datasets, of every tenant: a handler for `TurnRunner`."""

    def __init__(self, db: Database, stores: VectorStores, models: Callable[[Tenant], ModelsPort]) -> None:
        self._db = db
        self._stores = stores
        self._models = models

    async def task(self, task: Task, until: float) -> bool:
        """Empty them, once no worker has a task of the dataset in hand."""
        tenant = Tenant(task.tenant_id)
        tasks, rows = Tasks(self._db, tenant), KnowledgeRepository(self._db, tenant)
        async with self._db.write() as conn:
            busy = await tasks.in_hand(conn, but=task.id, dataset_id=task.dataset_id)
            if busy:
                await tasks.postpone(conn, task)
        if busy:
            await asyncio.sleep(_LOOK_SECONDS)
            return True
        writer = IndexWriter(rows, self._stores, self._models(tenant))
        for place in msgspec.convert((task.payload or {})["places"], list[Dataset]):
            await writer.remove_place(place)
        await self._db.run_write(lambda conn: self._drop_words(conn, task.dataset_id))
        return True

    def _drop_words(self, conn: sa.Connection, dataset_id: str) -> None:
        conn.execute(dataset_keywords.delete().where(dataset_keywords.c.dataset_id == dataset_id))
