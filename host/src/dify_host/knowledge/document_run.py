"""One run over one document whose chunks are known: their rows, their index, and how the document ended.

Every change of state is a compare-and-set on the row, so that of two runs of one document one stops.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import sqlalchemy as sa
from dify_kernel.errors import InvokeBadRequestError

from dify_host.db.repository import to_struct
from dify_host.db.types import utc_now
from dify_host.knowledge.chunk import Chunk
from dify_host.knowledge.index_writer import IndexWriter
from dify_host.knowledge.patience import Patience, patiently
from dify_host.knowledge.records import ChildChunk, Dataset, Document, Segment
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.knowledge.segment_change import SegmentChange
from dify_host.knowledge.tables import document_questions, document_segments, documents

__all__ = ["DocumentRun", "Stopped"]

T = TypeVar("T")


class Stopped(Exception):
    """This run has nothing more to do."""


class DocumentRun:
    """Works on one document; the steps are called in the order in which they stand here."""

    def __init__(
        self, rows: KnowledgeRepository, writer: IndexWriter, document: Document, patience: Patience | None = None
    ) -> None:
        self._db = rows.db
        self._rows = rows
        self._writer = writer
        self._document = document
        self._patience = patience or Patience()
        self._dataset: Dataset | None = None  # as it was seen last

    async def replace(self, dataset: Dataset, chunks: Sequence[Chunk], expected: Sequence[str], **values: Any) -> None:
        """Put the chunks in the place of the document's segments; from the expected states it gets to `indexing`.

        A segment whose text is still there keeps its row and its place in the index; what is gone leaves the index
        first. `values` are columns of the document that are written with it.
        """
        dataset, old, children = await self._db.run_read(partial(self._before, dataset.id))
        change = SegmentChange(self._document, old, children, chunks, counted=dataset.indexing_technique != "economy")
        await self.patiently(lambda: self._writer.remove_nodes(dataset, change.gone_nodes, change.gone))

        def written(conn: sa.Connection) -> Dataset:
            self._advanced(conn, expected, "indexing", **values)
            if self._document.doc_form == "qa_model":
                mine = document_questions.c.document_id == self._document.id
                conn.execute(self._rows.scoped_delete(document_questions).where(mine))
            current = self._rows.dataset_now(conn, dataset.id)
            # What stays must be in the new index too, whichever of the two runs comes first.
            change.write(conn, self._rows, again=current.serving is not None)
            return current

        current = await self._db.run_write(written)
        if current.serving is not None:  # the making of the new index may have put back what is gone
            await self.patiently(lambda: self._writer.remove_nodes(current, change.gone_nodes, change.gone))

    async def index(self, dataset: Dataset, *, until: float = math.inf) -> bool:
        """Write the segments that are not completed, batch by batch; each batch is recorded when it is done.

        False when `until` (of the monotonic clock) has come before the last of them; one batch is written always.
        """
        begun = False
        while segments := await self._pending(await self._writer.batch_size(dataset)):
            if begun and time.monotonic() >= until:
                return False
            begun = True
            waiting = [segment.id for segment in segments if segment.status != "indexing"]
            dataset = await self._db.run_write(partial(self._begun, dataset.id, waiting))
            self._dataset = dataset
            try:
                await self._writer.write(dataset, segments)
            except InvokeBadRequestError as exc:
                await self._db.run_write(partial(self._refused, [segment.id for segment in segments], exc))
        return True

    async def finish(self) -> None:
        """Complete the document; segments without a vector are told in its error."""
        await self._db.run_write(self._finished)

    async def is_whole(self) -> bool:
        """Whether the document has segments, and all of them are indexed."""
        counted = self._rows.scoped_select(
            document_segments,
            sa.func.count().label("number"),
            sa.func.sum(sa.case((document_segments.c.status == "completed", 1), else_=0)).label("completed"),
        ).where(document_segments.c.document_id == self._document.id)
        async with self._db.read() as conn:
            row = (await conn.execute(counted)).one()
        return bool(row.number) and row.number == int(row.completed)

    async def keep(self, **values: Any) -> None:
        """Complete the document with the segments that it has; `values` are columns to write with it."""
        now = utc_now()
        times = dict.fromkeys(("parsing_completed_at", "cleaning_completed_at", "splitting_completed_at"), now)
        await self.advance(("parsing",), "completed", completed_at=now, error=None, **times, **values)

    async def fail(self, error: str) -> None:
        """Say in the document what went wrong, unless it has ended already."""
        values = {"indexing_status": "error", "error": error, "stopped_at": utc_now()}
        change = self._rows.scoped_update(documents, values).where(
            documents.c.id == self._document.id, documents.c.indexing_status.not_in(("completed", "error"))
        )
        async with self._db.write() as conn:
            await conn.execute(change)

    async def forget(self) -> None:
        """Take out of the index what this run wrote for a document, or a dataset, that was deleted meanwhile."""
        async with self._db.read() as conn:
            found = await self._rows.datasets(conn, [self._document.dataset_id])
        # A dataset that is gone had the index that this run knew; its own removal cannot see what came after it.
        for dataset in found or ([self._dataset] if self._dataset else []):
            await self._writer.remove_document(dataset, self._document.id)

    # -- rows --------------------------------------------------------------------------------------------------

    async def advance(self, expected: Sequence[str], status: str, **values: Any) -> None:
        """Move the document to a state from one of the expected ones; stop this run when it is in another."""
        await self._db.run_write(lambda conn: self._advanced(conn, expected, status, **values))

    def _advanced(self, conn: sa.Connection, expected: Sequence[str], status: str, **values: Any) -> None:
        change = self._rows.scoped_update(documents, {"indexing_status": status, **values}).where(
            documents.c.id == self._document.id,
            documents.c.indexing_status.in_(expected),
            documents.c.is_paused.is_(False),
        )
        if conn.execute(change).rowcount != 1:
            raise Stopped

    def _before(self, dataset_id: str, conn: sa.Connection) -> tuple[Dataset, list[Segment], list[ChildChunk]]:
        """The dataset, and the segments and children that the document has."""
        old = self._rows.segments(conn, self._document.id)
        children = self._rows.children_of_document(conn, self._document.id) if old else []
        return self._rows.dataset_now(conn, dataset_id), old, children

    def _begun(self, dataset_id: str, waiting: Sequence[str], conn: sa.Connection) -> Dataset:
        """Mark what waits of a batch as under work; returns the dataset, whose model may have been changed."""
        self._advanced(conn, ("indexing",), "indexing")
        if waiting:
            marked = self._rows.scoped_update(document_segments, {"status": "indexing", "indexing_at": utc_now()})
            conn.execute(marked.where(document_segments.c.id.in_(waiting)))
        return self._rows.dataset_now(conn, dataset_id)

    def _finished(self, conn: sa.Connection) -> None:
        mine = document_segments.c.document_id == self._document.id
        counted = self._rows.scoped_select(
            document_segments,
            document_segments.c.status,
            sa.func.count().label("number"),
            sa.func.sum(document_segments.c.tokens).label("tokens"),
            sa.func.count(document_segments.c.error).label("faulty"),
            sa.func.min(document_segments.c.error).label("why"),
        ).where(mine)
        by_status = {row.status: row for row in conn.execute(counted.group_by(document_segments.c.status))}
        failed = by_status["error"].number if "error" in by_status else 0
        done = by_status["completed"].number if "completed" in by_status else 0
        told = [f"{failed} of {failed + done} segments have no vector: {by_status['error'].why}"] if failed else []
        if done and by_status["completed"].faulty:
            in_part = by_status["completed"]
            told.append(f"{in_part.faulty} of {failed + done} segments are found in part: {in_part.why}")
        started = self._rows.scoped_select(documents, documents.c.processing_started_at)
        began = conn.execute(started.where(documents.c.id == self._document.id)).scalar_one_or_none()
        now = utc_now()
        self._advanced(
            conn,
            ("indexing",),
            "completed" if done else "error",
            error=" ".join(told) or None,
            tokens=int(by_status["completed"].tokens) if done else 0,
            completed_at=now if done else None,
            stopped_at=None if done else now,
            indexing_latency=(now - (began or now)).total_seconds(),
        )

    def _refused(self, segment_ids: Sequence[str], error: InvokeBadRequestError, conn: sa.Connection) -> None:
        """Say in segments that the model refuses their texts; raise when it has taken none of this document before."""
        mine = self._rows.scoped_select(document_segments, document_segments.c.id).where(
            document_segments.c.document_id == self._document.id, document_segments.c.status == "completed"
        )
        if conn.execute(mine.limit(1)).one_or_none() is None:
            raise error
        values = {"status": "error", "error": str(error), "stopped_at": utc_now()}
        change = self._rows.scoped_update(document_segments, values)
        conn.execute(change.where(document_segments.c.id.in_(segment_ids)))

    async def _pending(self, limit: int) -> list[Segment]:
        """The next segments without an outcome, by position."""
        query = (
            self._rows.scoped_select(document_segments)
            .where(
                document_segments.c.document_id == self._document.id,
                document_segments.c.status.in_(("waiting", "indexing", "re_segment")),
            )
            .order_by(document_segments.c.position)
            .limit(limit)
        )
        return await self._db.run_read(lambda conn: [to_struct(row, Segment) for row in conn.execute(query)])

    async def patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """Repeat a call while its error says that it may succeed later."""
        return await patiently(call, self._patience)
