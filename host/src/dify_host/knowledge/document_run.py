"""One run over one document whose chunks are known: their rows, their index, and how the document ended.

Every change of state is a compare-and-set on the row, so that of two runs of one document one stops.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa
from dify_kernel.errors import DifyError
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.db.repository import to_struct
from dify_host.db.statements import insert_many
from dify_host.db.types import new_id, utc_now
from dify_host.knowledge.chunk import Chunk, estimate_tokens, text_hash
from dify_host.knowledge.index_writer import IndexWriter
from dify_host.knowledge.records import Dataset, Document, Segment
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.knowledge.tables import child_chunks, document_segments, documents, segment_attachment_bindings

__all__ = ["DocumentRun", "Patience", "Stopped"]

T = TypeVar("T")


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How often a call that may succeed later is repeated, and the first pause in seconds; each pause doubles."""

    attempts: int = 4
    pause: float = 1.0


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

    async def replace(self, dataset: Dataset, chunks: Sequence[Chunk], expected: Sequence[str], **values: Any) -> None:
        """Put the chunks in the place of the document's segments; from the expected states it gets to `indexing`.

        `values` are columns of the document that are written with it.
        """
        await self.patiently(lambda: self._writer.remove_document(dataset, self._document.id))
        async with self._db.write() as conn:
            await self.advance(conn, expected, "indexing", **values)
            await self._replace_segments(conn, chunks, counted=dataset.indexing_technique == "high_quality")

    async def index(self, dataset: Dataset) -> None:
        """Write the segments that are not completed, batch by batch; each batch is recorded when it is done."""
        while segments := await self._pending(await self._writer.batch_size(dataset)):
            ids = [segment.id for segment in segments]
            async with self._db.write() as conn:
                await self.advance(conn, ("indexing",), "indexing")
                marked = self._rows.scoped_update(document_segments, {"status": "indexing", "indexing_at": utc_now()})
                await conn.execute(marked.where(document_segments.c.id.in_(ids)))
                dataset = await self._rows.dataset(conn, dataset.id)  # its model may have been changed
            await self.patiently(partial(self._writer.write, dataset, segments))

    async def finish(self) -> None:
        """Complete the document; segments without a vector are told in its error."""
        mine = document_segments.c.document_id == self._document.id
        async with self._db.write() as conn:
            counted = self._rows.scoped_select(
                document_segments,
                document_segments.c.status,
                sa.func.count().label("number"),
                sa.func.sum(document_segments.c.tokens).label("tokens"),
            ).where(mine)
            by_status = {row.status: row for row in await conn.execute(counted.group_by(document_segments.c.status))}
            failed = by_status["error"].number if "error" in by_status else 0
            done = by_status["completed"].number if "completed" in by_status else 0
            document = await self._rows.document(conn, self._document.dataset_id, self._document.id)
            now = utc_now()
            await self.advance(
                conn,
                ("indexing",),
                "completed" if done else "error",
                error=f"{failed} of {failed + done} segments gave no usable vector." if failed else None,
                tokens=int(by_status["completed"].tokens) if done else 0,
                completed_at=now if done else None,
                stopped_at=None if done else now,
                indexing_latency=(now - (document.processing_started_at or now)).total_seconds(),
            )

    async def fail(self, error: str) -> None:
        """Say in the document what went wrong, unless it has ended already."""
        values = {"indexing_status": "error", "error": error, "stopped_at": utc_now()}
        change = self._rows.scoped_update(documents, values).where(
            documents.c.id == self._document.id, documents.c.indexing_status.not_in(("completed", "error"))
        )
        async with self._db.write() as conn:
            await conn.execute(change)

    # -- rows --------------------------------------------------------------------------------------------------

    async def advance(self, conn: AsyncConnection, expected: Sequence[str], status: str, **values: Any) -> None:
        """Move the document to a state from one of the expected ones; stop this run when it is in another."""
        change = self._rows.scoped_update(documents, {"indexing_status": status, **values}).where(
            documents.c.id == self._document.id,
            documents.c.indexing_status.in_(expected),
            documents.c.is_paused.is_(False),
        )
        if (await conn.execute(change)).rowcount != 1:
            raise Stopped

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
        async with self._db.read() as conn:
            return [to_struct(row, Segment) for row in await conn.execute(query)]

    async def _replace_segments(self, conn: AsyncConnection, chunks: Sequence[Chunk], *, counted: bool) -> None:
        """Write the rows of the chunks in place of any from an earlier content; `counted` estimates their tokens."""
        for table in (segment_attachment_bindings, child_chunks, document_segments):
            await conn.execute(self._rows.scoped_delete(table).where(table.c.document_id == self._document.id))
        segments, children, attachments = [], [], []
        for position, chunk in enumerate(chunks, 1):
            tokens = estimate_tokens(chunk.content) if counted else 0
            segment = self._row(chunk.content, position)
            segments.append(segment | {"answer": chunk.answer, "status": "waiting", "tokens": tokens})
            for number, child in enumerate(chunk.children, 1):
                children.append(self._row(child, number) | {"segment_id": segment["id"], "type": "automatic"})
            attachments += [self._attachment(str(segment["id"]), attachment) for attachment in chunk.attachments]
        await insert_many(conn, document_segments, segments)
        await insert_many(conn, child_chunks, children)
        await insert_many(conn, segment_attachment_bindings, attachments)

    def _row(self, content: str, position: int) -> dict[str, Any]:
        return {
            "id": new_id(),
            **self._place(),
            "position": position,
            "content": content,
            "word_count": len(content),
            "index_node_id": new_id(),
            "index_node_hash": text_hash(content),
            "created_by": self._document.created_by,
        }

    def _attachment(self, segment_id: str, attachment_id: str) -> dict[str, Any]:
        return {"id": new_id(), **self._place(), "segment_id": segment_id, "attachment_id": attachment_id}

    def _place(self) -> dict[str, Any]:
        document = self._document
        return {"tenant_id": document.tenant_id, "dataset_id": document.dataset_id, "document_id": document.id}

    async def patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """Repeat a call while its error says that it may succeed later."""
        for attempt in range(1, self._patience.attempts):
            try:
                return await call()
            except DifyError as exc:
                if not exc.retryable:
                    raise
            await asyncio.sleep(self._patience.pause * 2 ** (attempt - 1))
        return await call()
