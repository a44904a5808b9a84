"""The job that indexes one document: extract, clean, cut, embed; resumable after a crash at any point.

waiting -> parsing -> cleaning -> splitting -> indexing -> completed, or error. Every change of state is a
compare-and-set on the row: of two runs of one document (a queue may deliver twice) one goes on and the other stops.
Before the segments exist the work starts over, as nothing was written; their rows and the state `indexing` are one
transaction; after it, only segments that are not completed are worked on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa
from dify_kernel.contracts.ports import ModelsPort
from dify_kernel.contracts.storage import Storage
from dify_kernel.errors import BadInput, DifyError
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.db.engine import Database
from dify_host.db.errors import DatabaseError
from dify_host.db.outbox import enqueue
from dify_host.db.repository import to_struct
from dify_host.db.statements import insert_many
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id, utc_now
from dify_host.knowledge.chunk import Chunk, chunk_texts, estimate_tokens, text_hash
from dify_host.knowledge.clean import clean
from dify_host.knowledge.errors import DatasetNotFound, DocumentNotFound, ExtractionFailed
from dify_host.knowledge.extract.extractor import Extractor
from dify_host.knowledge.index_writer import IndexWriter
from dify_host.knowledge.links import Links
from dify_host.knowledge.records import Dataset, Document, Segment
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.knowledge.rules import ProcessRule
from dify_host.knowledge.tables import child_chunks, document_segments, documents
from dify_host.knowledge.vectors import VectorStores

__all__ = ["ACTOR", "QUEUE", "Indexer", "Patience", "enqueue_indexing"]

ACTOR = "index_document"
QUEUE = "dataset"
BEFORE_SEGMENTS = ("waiting", "parsing", "cleaning", "splitting")

T = TypeVar("T")
Notify = Callable[[str, str, str, str], None]


async def enqueue_indexing(conn: AsyncConnection, document_id: str) -> None:
    """Ask for a run of this document, in the transaction that makes it necessary."""
    await enqueue(conn, ACTOR, {"document_id": document_id}, queue=QUEUE)


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How often a call that may succeed later is repeated, and the first pause in seconds; each pause doubles."""

    attempts: int = 4
    pause: float = 1.0


class _Stopped(Exception):
    """This run has nothing more to do."""


class Indexer:
    """Runs indexing jobs of every tenant; one per process.

    `models` gives the models of a tenant. `notify` is called with tenant, dataset and document id and the final
    status, when a document is completed or has failed.
    """

    def __init__(
        self,
        db: Database,
        storage: Storage,
        stores: VectorStores,
        models: Callable[[Tenant], ModelsPort],
        *,
        extractor: Extractor | None = None,
        notify: Notify | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._db = db
        self._storage = storage
        self._stores = stores
        self._models = models
        self._extractor = extractor or Extractor()
        self._notify = notify
        self._patience = patience or Patience()

    async def run(self, document_id: str) -> None:
        """Bring the document to `completed` or `error`; harmless when it is there, paused or gone.

        What is wrong with the document, model or store ends in the row, not in an exception. Raises when the database
        fails, so that the job is delivered again, and for a fault of ours, which stands in the row too.
        """
        document = await self._load(document_id)
        if document is None or document.is_paused or document.indexing_status in ("completed", "error"):
            return
        tenant = Tenant(document.tenant_id)
        run = _Run(self._db, self._storage, self._stores, self._models(tenant), self._extractor, document, tenant)
        run.patience = self._patience
        try:
            await run.work()
        except (_Stopped, DatasetNotFound, DocumentNotFound):
            if await self._load(document_id) is None:
                await run.forget()
            return
        except DatabaseError:
            raise
        except DifyError as exc:
            await self._fail(document, str(exc))
        except Exception as exc:  # a fault of ours: the document must say so, and not wait for ever
            await self._fail(document, f"{type(exc).__name__}: {exc}")
            raise
        final = await self._load(document_id)
        if self._notify and final and final.indexing_status in ("completed", "error"):
            self._notify(final.tenant_id, final.dataset_id, final.id, final.indexing_status)

    async def _load(self, document_id: str) -> Document | None:
        async with self._db.read() as conn:
            row = (await conn.execute(sa.select(documents).where(documents.c.id == document_id))).one_or_none()
        return to_struct(row, Document) if row is not None else None

    async def _fail(self, document: Document, error: str) -> None:
        values = {"indexing_status": "error", "error": error, "stopped_at": utc_now()}
        repository = KnowledgeRepository(self._db, Tenant(document.tenant_id))
        async with self._db.write() as conn:
            change = repository.scoped_update(documents, values)
            await conn.execute(
                change.where(documents.c.id == document.id, documents.c.indexing_status.not_in(("completed", "error")))
            )


class _Run:
    """One run of one document."""

    patience: Patience

    def __init__(
        self,
        db: Database,
        storage: Storage,
        stores: VectorStores,
        models: ModelsPort,
        extractor: Extractor,
        document: Document,
        tenant: Tenant,
    ) -> None:
        self._db = db
        self._storage = storage
        self._extractor = extractor
        self._document = document
        self._rows = KnowledgeRepository(db, tenant)
        self._links = Links(db, tenant)
        self._writer = IndexWriter(self._rows, stores, models)

    async def work(self) -> None:
        """Do what is left to do."""
        async with self._db.read() as conn:
            dataset = await self._rows.dataset(conn, self._document.dataset_id)
            rule = await self._rows.process_rule(conn, self._document.dataset_process_rule_id)
        if self._document.indexing_status != "indexing":
            await self._prepare(dataset, rule)
        await self._index(dataset)
        await self._finish()

    async def forget(self) -> None:
        """Take out of the index what a run wrote for a document that was deleted meanwhile."""
        async with self._db.read() as conn:
            found = await self._rows.datasets(conn, [self._document.dataset_id])
        for dataset in found:
            await self._writer.remove_document(dataset, self._document.id)

    # -- the steps ---------------------------------------------------------------------------------------------

    async def _prepare(self, dataset: Dataset, rule: ProcessRule) -> None:
        """From the file to the rows of its segments."""
        started = self._document.processing_started_at or utc_now()
        async with self._db.write() as conn:
            await self._advance(conn, BEFORE_SEGMENTS, "parsing", processing_started_at=started)
        texts = await self._extract()
        async with self._db.write() as conn:
            words = sum(len(text) for text in texts)
            await self._advance(conn, ("parsing",), "cleaning", parsing_completed_at=utc_now(), word_count=words)
        cleaned = await asyncio.to_thread(lambda: [clean(text, rule.effective) for text in texts])
        async with self._db.write() as conn:
            await self._advance(conn, ("cleaning",), "splitting", cleaning_completed_at=utc_now())
        chunks = await asyncio.to_thread(chunk_texts, cleaned, rule, self._document.doc_form)
        if not chunks:
            raise ExtractionFailed(
                "No text was found in the document.",
                hint="A scanned document needs text recognition first.",
                document_id=self._document.id,
            )
        await self._patiently(lambda: self._writer.remove_document(dataset, self._document.id))
        async with self._db.write() as conn:
            await self._advance(conn, ("splitting",), "indexing", splitting_completed_at=utc_now())
            await self._replace_segments(conn, chunks, counted=dataset.indexing_technique == "high_quality")

    async def _extract(self) -> list[str]:
        """The texts of the uploaded file."""
        info = self._document.data_source_info or {}
        upload_id = info.get("upload_file_id")
        if self._document.data_source_type != "upload_file" or not upload_id:
            raise BadInput(
                f"Documents of source {self._document.data_source_type} have no file to read.",
                document_id=self._document.id,
            )
        async with self._db.read() as conn:
            upload = await self._links.upload(conn, upload_id)
        data = await self._patiently(lambda: self._storage.load(upload.key))
        return [item.text for item in await self._extractor.extract(data, f"file.{upload.extension}")]

    async def _index(self, dataset: Dataset) -> None:
        """Write the segments that are not completed, batch by batch; each batch is recorded when it is done."""
        while segments := await self._pending(await self._writer.batch_size(dataset)):
            ids = [segment.id for segment in segments]
            async with self._db.write() as conn:
                await self._advance(conn, ("indexing",), "indexing")
                marked = self._rows.scoped_update(document_segments, {"status": "indexing", "indexing_at": utc_now()})
                await conn.execute(marked.where(document_segments.c.id.in_(ids)))
                dataset = await self._rows.dataset(conn, dataset.id)  # its model may have been changed
            await self._patiently(partial(self._writer.write, dataset, segments))

    async def _finish(self) -> None:
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
            await self._advance(
                conn,
                ("indexing",),
                "completed" if done else "error",
                error=f"{failed} of {failed + done} segments gave no usable vector." if failed else None,
                tokens=int(by_status["completed"].tokens) if done else 0,
                completed_at=now if done else None,
                stopped_at=None if done else now,
                indexing_latency=(now - (document.processing_started_at or now)).total_seconds(),
            )

    # -- rows --------------------------------------------------------------------------------------------------

    async def _advance(self, conn: AsyncConnection, expected: Sequence[str], status: str, **values: Any) -> None:
        """Move the document to a state from one of the expected ones; stop this run when it is in another."""
        change = self._rows.scoped_update(documents, {"indexing_status": status, **values}).where(
            documents.c.id == self._document.id,
            documents.c.indexing_status.in_(expected),
            documents.c.is_paused.is_(False),
        )
        if (await conn.execute(change)).rowcount != 1:
            raise _Stopped

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
        for table in (child_chunks, document_segments):
            await conn.execute(self._rows.scoped_delete(table).where(table.c.document_id == self._document.id))
        segments = []
        children = []
        for position, chunk in enumerate(chunks, 1):
            tokens = estimate_tokens(chunk.content) if counted else 0
            segment = self._row(chunk.content, position)
            segments.append(segment | {"answer": chunk.answer, "status": "waiting", "tokens": tokens})
            for number, child in enumerate(chunk.children, 1):
                children.append(self._row(child, number) | {"segment_id": segment["id"], "type": "automatic"})
        await insert_many(conn, document_segments, segments)
        await insert_many(conn, child_chunks, children)

    def _row(self, content: str, position: int) -> dict[str, Any]:
        return {
            "id": new_id(),
            "tenant_id": self._document.tenant_id,
            "dataset_id": self._document.dataset_id,
            "document_id": self._document.id,
            "position": position,
            "content": content,
            "word_count": len(content),
            "index_node_id": new_id(),
            "index_node_hash": text_hash(content),
            "created_by": self._document.created_by,
        }

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """Repeat a call while its error says that it may succeed later."""
        for attempt in range(1, self.patience.attempts):
            try:
                return await call()
            except DifyError as exc:
                if not exc.retryable:
                    raise
            await asyncio.sleep(self.patience.pause * 2 ** (attempt - 1))
        return await call()
