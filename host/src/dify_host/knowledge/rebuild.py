"""Another model, technique or store: a new index is made beside the old one, which searches ask until it is whole.

The row of the dataset names the new index at once, and keeps the old one under `serving`. Each document has a task
that puts it into the new index, and what changes meanwhile goes into both. When all are in it, `serving` goes, and a
last task empties the old index. A document that cannot be put into it keeps its task with the error: then the old
index goes on answering, until somebody tries again or chooses another model.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
from dify_kernel.contracts.ports import ModelsPort
from dify_kernel.errors import BadInput
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.db.engine import Database
from dify_host.db.repository import to_struct
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id
from dify_host.knowledge.emptying import forget_missing
from dify_host.knowledge.errors import DatasetNotFound
from dify_host.knowledge.index_writer import IndexWriter
from dify_host.knowledge.move_check import MoveCheck
from dify_host.knowledge.patience import Patience
from dify_host.knowledge.records import SERVING, Dataset, Segment
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.knowledge.tables import datasets, document_segments, knowledge_tasks
from dify_host.knowledge.tasks import REBUILD, RETIRE, SWITCH, Task, Tasks
from dify_host.knowledge.vectors import VectorStores

__all__ = ["Rebuild", "Rebuilder", "RebuildState"]

_LOOK_SECONDS: Final = 0.5


class RebuildState(msgspec.Struct, frozen=True, kw_only=True):
    """How far a new index is: documents that are not in it yet, and why one of them cannot be."""

    documents_left: int
    error: str | None


class Rebuild:
    """Begins the making of new indexes, in the transaction that changes the dataset."""

    def __init__(self, rows: KnowledgeRepository, tasks: Tasks) -> None:
        self._rows = rows
        self._tasks = tasks

    async def begin(self, conn: AsyncConnection, current: Dataset, values: dict[str, Any]) -> dict[str, Any]:
        """The columns to write for a dataset that is to be indexed as `values` say; queues what is to be done.

        Choosing what serves still ends the making of the new index. A dataset without segments needs no new index.
        """
        wanted = msgspec.structs.replace(current, **{name: values[name] for name in current.place})
        serving = current.serving
        if serving is not None:
            await self._tasks.drop(conn, purpose=REBUILD, dataset_id=current.id)
            await self._tasks.drop(conn, purpose=SWITCH, dataset_id=current.id)
            await self._retire(conn, current)
            if wanted.same_place(serving):
                return {**values, **serving.place}
        held = self._rows.scoped_select(document_segments, document_segments.c.document_id).distinct()
        ids = list((await conn.execute(held.where(document_segments.c.dataset_id == current.id))).scalars())
        if not ids:
            return values
        await self._tasks.add(conn, REBUILD, current.id, sorted(ids))
        await self._tasks.add(conn, SWITCH, current.id, [current.id])
        old = (serving or current).place
        return {**values, "index_struct": {**(values["index_struct"] or {}), SERVING: old}}

    async def again(self, conn: AsyncConnection, dataset_id: str) -> None:
        """Try again what failed: documents that could not be put into the new index, and the switch to it."""
        failed = self._rows.scoped_select(
            knowledge_tasks, knowledge_tasks.c.target_id, knowledge_tasks.c.purpose
        ).where(
            knowledge_tasks.c.dataset_id == dataset_id,
            knowledge_tasks.c.purpose.in_((REBUILD, SWITCH)),
            knowledge_tasks.c.error.is_not(None),
        )
        rows = (await conn.execute(failed)).all()
        if rows:
            await self._tasks.add(conn, REBUILD, dataset_id, [row.target_id for row in rows if row.purpose == REBUILD])
            await self._tasks.add(conn, SWITCH, dataset_id, [dataset_id])

    async def state(self, conn: AsyncConnection, dataset: Dataset) -> RebuildState | None:
        """How far the new index of a dataset is; None when it has but one."""
        if dataset.serving is None:
            return None
        left, error = await self._tasks.left(conn, REBUILD, dataset.id)
        if error is None:
            _, error = await self._tasks.left(conn, SWITCH, dataset.id)
        return RebuildState(documents_left=left, error=error)

    async def retired(self, conn: AsyncConnection, dataset: Dataset) -> list[Dataset]:
        """The dataset by each index that waits to be emptied: what its deletion must empty too."""
        query = self._rows.scoped_select(knowledge_tasks, knowledge_tasks.c.payload).where(
            knowledge_tasks.c.dataset_id == dataset.id, knowledge_tasks.c.purpose == RETIRE
        )
        places = [payload["place"] for payload in (await conn.execute(query)).scalars()]
        return [msgspec.structs.replace(dataset, **place) for place in places]

    async def _retire(self, conn: AsyncConnection, place: Dataset) -> None:
        await self._tasks.add(conn, RETIRE, place.id, [new_id()], {"place": place.place})


class Rebuilder:
    """Does the tasks of new indexes, of every tenant; handlers for `TurnRunner`."""

    def __init__(
        self,
        db: Database,
        stores: VectorStores,
        models: Callable[[Tenant], ModelsPort],
        *,
        patience: Patience | None = None,
    ) -> None:
        self._db = db
        self._stores = stores
        self._models = models
        self._patience = patience or Patience()

    async def document(self, task: Task, until: float) -> bool:
        """Put the completed segments of a document into the new index, from where an earlier turn stopped."""
        rows, tasks, writer = self._parts(task)
        after = int((task.payload or {}).get("after", 0))
        while True:
            async with self._db.read() as conn:
                dataset = await self._dataset(rows, conn, task)
                if dataset is None or dataset.serving is None:
                    return True
                segments = await self._segments(rows, conn, task, after, await writer.batch_size(dataset))
            if not segments:
                await forget_missing(rows, writer, task.dataset_id, task.target_id)
                return True
            changed = await writer.copy(dataset, segments)
            while changed:
                changed = await writer.copy(dataset, changed)
            after = segments[-1].position
            await tasks.remember(task, {"after": after})
            if time.monotonic() >= until:
                return False

    async def switch(self, task: Task, until: float) -> bool:
        """Let searches ask the new index when every document is in it; BadInput when one cannot be put into it.

        In another store it must hold the same first: MoveNotVerified.
        """
        rows, tasks, writer = self._parts(task)
        async with self._db.read() as conn:
            left, _ = await tasks.left(conn, REBUILD, task.dataset_id)
            dataset = await self._dataset(rows, conn, task)
        if dataset is not None and not left and dataset.moved_from is not None:
            await MoveCheck(rows, self._stores, writer).run(dataset)
        async with self._db.write() as conn:
            left, error = await tasks.left(conn, REBUILD, task.dataset_id)
            if left and error is None:
                await tasks.postpone(conn, task)
            elif left:
                raise BadInput(
                    f"{left} documents are not in the new index, so the old one goes on answering: {error}",
                    hint="Try them again, or choose another model.",
                    dataset_id=task.dataset_id,
                )
            else:
                await self._switched(rows, tasks, conn, task)
        if left:  # another slot has the last of them in hand
            await asyncio.sleep(_LOOK_SECONDS)
        return True

    async def retire(self, task: Task, until: float) -> bool:
        """Empty an index that is asked no more, unless the dataset has come back to it."""
        rows, _, writer = self._parts(task)
        async with self._db.read() as conn:
            dataset = await self._dataset(rows, conn, task)
        if dataset is None or task.payload is None:
            return True
        place = msgspec.structs.replace(dataset, **task.payload["place"])
        if not (place.same_place(dataset) or place.same_place(dataset.searched)):
            await writer.remove_place(place)
        return True

    # -- inside ------------------------------------------------------------------------------------------------

    async def _switched(self, rows: KnowledgeRepository, tasks: Tasks, conn: AsyncConnection, task: Task) -> None:
        try:
            dataset = await rows.dataset(conn, task.dataset_id, lock=True)
        except DatasetNotFound:
            return
        if dataset.serving is None:
            return
        change = rows.scoped_update(datasets, {"index_struct": dataset.place["index_struct"]})
        await conn.execute(change.where(datasets.c.id == dataset.id))
        await tasks.add(conn, RETIRE, dataset.id, [new_id()], {"place": dataset.serving.place})

    def _parts(self, task: Task) -> tuple[KnowledgeRepository, Tasks, IndexWriter]:
        tenant = Tenant(task.tenant_id)
        rows, tasks = KnowledgeRepository(self._db, tenant), Tasks(self._db, tenant)

        async def told(note: str | None) -> None:
            await tasks.note(task.purpose, task.target_id, note)

        return rows, tasks, IndexWriter(rows, self._stores, self._models(tenant), patience=self._patience, told=told)

    async def _dataset(self, rows: KnowledgeRepository, conn: AsyncConnection, task: Task) -> Dataset | None:
        try:
            return await rows.dataset(conn, task.dataset_id)
        except DatasetNotFound:
            return None

    async def _segments(
        self, rows: KnowledgeRepository, conn: AsyncConnection, task: Task, after: int, limit: int
    ) -> list[Segment]:
        """The next completed segments of the document; those that are not will be written to both by their own run."""
        query = rows.scoped_select(document_segments).where(
            document_segments.c.document_id == task.target_id,
            document_segments.c.status == "completed",
            document_segments.c.position > after,
        )
        found = await conn.execute(query.order_by(document_segments.c.position, document_segments.c.id).limit(limit))
        return [to_struct(row, Segment) for row in found]
