"""Whether another store holds and finds the same as the one that a knowledge base is moved from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec
import sqlalchemy as sa
from dify_kernel.contracts.vector import Hit, Record, Space, VectorStore
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.db.repository import to_struct
from dify_host.knowledge.errors import MoveNotVerified
from dify_host.knowledge.index_writer import IndexWriter
from dify_host.knowledge.records import Dataset, IndexStruct, Segment
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.knowledge.tables import child_chunks, document_segments
from dify_host.knowledge.vectors import VectorStores

__all__ = ["MoveCheck", "same_answers"]

#: Writes go on meanwhile, so a difference counts only when it is still there the third time.
_ROUNDS: Final = 3
_PAGE: Final = 500
_SAMPLES: Final = 20
_TOP_K: Final = 10
_SCORE: Final = 1e-4
#: Of what the old store finds so much may be missed: an approximate index need not find every near record.
_MISSED: Final = 0.05


class _Place(msgspec.Struct, frozen=True):
    """A partition of an opened store."""

    name: str
    store: VectorStore
    space: Space
    partition: str

    async def count(self) -> int:
        return await self.store.count(self.space, self.partition)

    async def get(self, ids: Sequence[str]) -> list[Record]:
        return await self.store.get(self.space, self.partition, ids)

    async def search(self, vector: Sequence[float]) -> list[Hit]:
        return await self.store.search(self.space, self.partition, vector, top_k=_TOP_K)

    async def ids(self) -> set[str]:
        found: set[str] = set()
        cursor = None
        while True:
            page = await self.store.scan(self.space, self.partition, cursor=cursor, limit=_PAGE)
            found.update(record.id for record in page.records)
            cursor = page.cursor
            if cursor is None:
                return found


class MoveCheck:
    """Compares the two stores of a knowledge base that moves, and repairs what came too late for the copy."""

    def __init__(self, rows: KnowledgeRepository, stores: VectorStores, writer: IndexWriter) -> None:
        self._rows = rows
        self._stores = stores
        self._writer = writer

    async def run(self, dataset: Dataset) -> None:
        """Return when both hold the same records and give the same answers; MoveNotVerified otherwise.

        The rows say what has to be there. A record of the new store without a row is deleted, one that is missing is
        copied again. Then records of the old store are asked for in both: the scores are the same within 1e-4, and so
        are the ids, but for one in twenty that an approximate index may miss.
        """
        old = await self._place(dataset, dataset.serving.index if dataset.serving else None)
        new = await self._place(dataset, dataset.index)
        if old is None or new is None:
            return
        wrong = ""
        for _ in range(_ROUNDS):
            wrong = await self._counted(dataset, old, new) or await self._asked(dataset, old, new)
            if not wrong:
                return
        raise MoveNotVerified(
            f"{new.name} is not what {old.name} is, which goes on answering: {wrong}",
            hint="See to the store and move again, or move back to where the knowledge base was.",
            dataset_id=dataset.id,
        )

    async def _place(self, dataset: Dataset, index: IndexStruct | None) -> _Place | None:
        if index is None or index.space is None:
            return None
        return _Place(index.store, await self._stores.ready(index.store, index.space), index.space, dataset.id)

    # -- what is held ----------------------------------------------------------------------------------------

    async def _counted(self, dataset: Dataset, old: _Place, new: _Place) -> str:
        """What is wrong with the number of records, after a try to repair it; empty when nothing is."""
        async with self._rows.db.read() as conn:
            expected = await self._expected(conn, dataset.id)
        if await old.count() == await new.count() == expected:
            return ""
        before, after = await old.ids(), await new.ids()
        async with self._rows.db.read() as conn:
            known = await self._with_rows(conn, dataset.id, sorted(before ^ after))
        stray = sorted(id for id in after - before if id not in known)
        missing = sorted(id for id in before - after if id in known)
        await self._writer.remove_nodes(msgspec.structs.replace(dataset, **dataset.place), stray)
        for start in range(0, len(missing), _PAGE):
            group = missing[start : start + _PAGE]
            async with self._rows.db.read() as conn:
                segments = await self._segments(conn, {known[id] for id in group})
            if segments:
                await self._writer.copy(dataset, segments)
        lost = set(missing) - {record.id for record in await new.get(missing)} if missing else set()
        return f"{len(lost)} of {expected} records are missing, {sorted(lost)[0]} among them." if lost else ""

    async def _expected(self, conn: AsyncConnection, dataset_id: str) -> int:
        """How many records the completed segments have: a child is one, a segment without children too."""
        inner = child_chunks.c.segment_id == document_segments.c.id
        done = document_segments.c.dataset_id == dataset_id, document_segments.c.status == "completed"
        alone = self._rows.scoped_select(document_segments, sa.func.count()).where(*done, ~sa.exists().where(inner))
        children = (
            self._rows.scoped_select(child_chunks, sa.func.count())
            .join(document_segments, inner)
            .where(*done, child_chunks.c.dataset_id == dataset_id)
        )
        return int((await conn.execute(alone)).scalar_one()) + int((await conn.execute(children)).scalar_one())

    async def _with_rows(self, conn: AsyncConnection, dataset_id: str, ids: Sequence[str]) -> dict[str, str]:
        """The segments of those records that have a row, by the records' ids."""
        found: dict[str, str] = {}
        for start in range(0, len(ids), _PAGE):
            group = ids[start : start + _PAGE]
            for table, segment in (
                (document_segments, document_segments.c.id),
                (child_chunks, child_chunks.c.segment_id),
            ):
                query = self._rows.scoped_select(table, table.c.index_node_id, segment.label("segment_id")).where(
                    table.c.dataset_id == dataset_id, table.c.index_node_id.in_(group)
                )
                found.update({row.index_node_id: row.segment_id for row in await conn.execute(query)})
        return found

    async def _segments(self, conn: AsyncConnection, ids: set[str]) -> list[Segment]:
        query = self._rows.scoped_select(document_segments).where(
            document_segments.c.id.in_(sorted(ids)), document_segments.c.status == "completed"
        )
        return [to_struct(row, Segment) for row in await conn.execute(query)]

    # -- what is found ---------------------------------------------------------------------------------------

    async def _asked(self, dataset: Dataset, old: _Place, new: _Place) -> str:
        """What is wrong with the answers of the new store; empty when nothing is."""
        async with self._rows.db.read() as conn:
            records = await old.get(await self._sample(conn, dataset.id))
        missed = asked = 0
        for record in records:
            wanted, given = await old.search(record.vector), await new.search(record.vector)
            lost = same_answers(wanted, given)
            if lost is None:
                return f"The records that are nearest to {record.id} have other scores."
            missed, asked = missed + lost, asked + len(wanted)
        if missed > asked * _MISSED:
            return f"{missed} of {asked} records that are nearest to others are not found."
        return ""

    async def _sample(self, conn: AsyncConnection, dataset_id: str) -> list[str]:
        """Ids of records, from all over the knowledge base."""
        found = []
        for table in (document_segments, child_chunks):
            mine = table.c.dataset_id == dataset_id, table.c.completed_at.is_not(None)
            total = (await conn.execute(self._rows.scoped_select(table, sa.func.count()).where(*mine))).scalar_one()
            query = self._rows.scoped_select(table, table.c.index_node_id).where(*mine).order_by(table.c.id)
            for at in {total * step // _SAMPLES for step in range(_SAMPLES)} if total else ():
                found += (await conn.execute(query.offset(at).limit(1))).scalars()
        return [str(id) for id in found if id]


def same_answers(wanted: Sequence[Hit], given: Sequence[Hit]) -> int | None:
    """How many of the wanted hits are not given; None when a score differs by more than 1e-4.

    Where several records are as near as the last one, any of them will do.
    """
    scores = {hit.id: hit.score for hit in given}
    if len(scores) != len(given) or any(abs(scores.get(hit.id, hit.score) - hit.score) > _SCORE for hit in wanted):
        return None
    last = min((hit.score for hit in wanted), default=math.inf)
    lost = sum(hit.id not in scores and hit.score > last + _SCORE for hit in wanted)
    return max(lost, len(wanted) - len(given))
