"""The end of a knowledge pipeline: puts the chunks of one document into its knowledge base, and waits until it is done.

There is no job for it. When the process dies, the run of the pipeline goes on elsewhere and its node begins anew, which
replaces whatever this one wrote.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from dify_kernel.contracts.ports import IndexChunk, IndexedDocument, Indexing
from dify_kernel.errors import BadInput, DifyError, PlatformUnavailable
from dify_kernel.graph.values import FileTransfer
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.db.types import utc_now
from dify_host.knowledge.chunk import Chunk
from dify_host.knowledge.datasets import DatasetService
from dify_host.knowledge.document_run import DocumentRun, Stopped
from dify_host.knowledge.emptying import forget_missing
from dify_host.knowledge.errors import (
    ArchivedDocumentImmutable,
    DatasetNotFound,
    DocumentIndexing,
    DocumentNotFound,
    InvalidAction,
)
from dify_host.knowledge.index_writer import IndexWriter
from dify_host.knowledge.links import Links
from dify_host.knowledge.records import Dataset, Document
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.knowledge.tables import datasets

__all__ = ["PipelineIndexer"]

log = logging.getLogger(__name__)

_ANY_STATE = ("waiting", "parsing", "cleaning", "splitting", "indexing", "completed", "error")


class PipelineIndexer:
    """Indexes for one tenant."""

    def __init__(self, rows: KnowledgeRepository, writer: IndexWriter, service: DatasetService) -> None:
        self._rows = rows
        self._writer = writer
        self._service = service
        self._links = Links(rows.db, rows.tenant)

    async def index(self, request: Indexing) -> IndexedDocument:
        """See `KnowledgePort.index`. What goes wrong once it has begun stands in the document too.

        One that is cancelled leaves the document as it is: a run that was stopped writes that with its end, and one
        that its process lets go of is gone on with elsewhere.
        """
        async with self._rows.db.read() as conn:
            dataset = await self._rows.dataset(conn, request.dataset_id)
            document = await self._document(conn, request)
        if document is None:  # an earlier process that was at it may have left something
            await forget_missing(self._rows, self._writer, dataset.id, request.document_id)
            raise DocumentNotFound("Document not found.", document_id=request.document_id)
        _check(request, dataset, document)
        dataset = await self._initialised(dataset, request)
        _check_technique(request, dataset)
        chunks = await self._chunks(request.chunks)
        run = DocumentRun(self._rows, self._writer, document)
        try:
            await run.replace(dataset, chunks, _ANY_STATE, **_began(request, document))
            await run.index(dataset)
            await run.finish()
        except (Stopped, DatasetNotFound, DocumentNotFound) as exc:
            async with self._rows.db.read() as conn:
                gone = await self._document(conn, request) is None
            if gone:
                await run.forget()
            raise DocumentIndexing(
                f"Indexing {document.name} was stopped: it was paused or deleted meanwhile.", document_id=document.id
            ) from exc
        except PlatformUnavailable:
            raise  # the node is run again, and the document indexed anew
        except DifyError as exc:
            await run.fail(str(exc))
            raise
        return await self._result(dataset, document)

    async def _document(self, conn: AsyncConnection, request: Indexing) -> Document | None:
        try:
            return await self._rows.document(conn, request.dataset_id, request.document_id)
        except (DatasetNotFound, DocumentNotFound):
            return None

    async def _result(self, dataset: Dataset, document: Document) -> IndexedDocument:
        async with self._rows.db.read() as conn:
            ended = await self._rows.document(conn, dataset.id, document.id)
        if ended.indexing_status != "completed":
            raise BadInput(f"The document was not indexed: {ended.error}", document_id=document.id)
        return IndexedDocument(
            dataset_id=dataset.id,
            dataset_name=dataset.name,
            document_id=ended.id,
            document_name=ended.name,
            batch=ended.batch,
            created_at=ended.created_at.timestamp(),
        )

    async def _initialised(self, dataset: Dataset, request: Indexing) -> Dataset:
        """The dataset; one without technique gets what the pipeline says."""
        if dataset.indexing_technique is not None:
            return dataset
        if request.indexing_technique is None:
            raise BadInput("indexing_technique is required.", hint="Choose it in the knowledge base node.")
        model = None
        if request.indexing_technique == "high_quality":
            model = await self._service.embedding_model(request.embedding_model_provider, request.embedding_model)
        async with self._rows.db.write() as conn:
            current = await self._rows.dataset(conn, dataset.id, lock=True)
            if current.indexing_technique is not None:
                return current
            values = await self._service.technique_values(conn, request.indexing_technique, model)
            given = {"keyword_number": request.keyword_number, "retrieval_model": request.retrieval_model}
            values |= {name: value for name, value in given.items() if value is not None}
            values["chunk_structure"] = request.chunk_structure
            await conn.execute(self._rows.scoped_update(datasets, values).where(datasets.c.id == dataset.id))
            return await self._rows.dataset(conn, dataset.id)

    async def _chunks(self, given: Sequence[IndexChunk]) -> list[Chunk]:
        """The chunks with the ids of those of their files that are uploads of this tenant; others are left out."""
        named = {file.related_id for chunk in given for file in chunk.files if file.related_id}
        async with self._rows.db.read() as conn:
            known = {upload.id for upload in await self._links.uploads(conn, sorted(named))} if named else set()
        if missing := named - known:
            log.warning("files %s of chunks are no uploads of workspace %s", sorted(missing), self._rows.tenant.id)
        chunks = []
        for chunk in given:
            uploads = [file for file in chunk.files if file.transfer_method is FileTransfer.LOCAL_FILE]
            attachments = [file.related_id for file in uploads if file.related_id in known]
            chunks.append(
                Chunk(
                    content=chunk.content,
                    answer=chunk.answer,
                    children=chunk.children,
                    attachments=[attachment for attachment in dict.fromkeys(attachments) if attachment],
                )
            )
        return chunks


def _check(request: Indexing, dataset: Dataset, document: Document) -> None:
    if request.batch != document.batch:
        raise DocumentNotFound("The document is of another batch.", document_id=document.id)
    if document.archived:
        raise ArchivedDocumentImmutable("The archived document is not editable.", document_id=document.id)
    if document.is_paused:
        raise InvalidAction("The document is paused.", hint="Resume it first.", document_id=document.id)
    if dataset.chunk_structure and dataset.chunk_structure != request.chunk_structure:
        raise BadInput(
            f"The chunks are of {request.chunk_structure}, and the knowledge base is of {dataset.chunk_structure}.",
            hint="Choose the chunk structure of the knowledge base in the knowledge base node.",
            dataset_id=dataset.id,
        )
    if not request.chunks:
        raise BadInput("Chunks is required.", document_id=document.id)


def _check_technique(request: Indexing, dataset: Dataset) -> None:
    if request.chunk_structure == "qa_model" and dataset.indexing_technique != "high_quality":
        raise BadInput(
            "Questions and answers need a high-quality knowledge base.",
            hint="Change its indexing technique.",
            dataset_id=dataset.id,
        )


def _began(request: Indexing, document: Document) -> dict[str, Any]:
    """The columns of a document whose text has been read and cut elsewhere."""
    now = utc_now()
    return {
        "doc_form": request.chunk_structure,
        "processing_started_at": document.processing_started_at or now,
        "parsing_completed_at": now,
        "cleaning_completed_at": now,
        "splitting_completed_at": now,
        "completed_at": None,
        "stopped_at": None,
        "error": None,
        "word_count": sum(len(chunk.content) for chunk in request.chunks),
    }
