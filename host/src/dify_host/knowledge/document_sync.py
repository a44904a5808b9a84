"""Brings documents of outside sources to what they are there now; indexes them again only when they have changed."""

from __future__ import annotations

from dify_kernel.errors import BadInput
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.knowledge.errors import ArchivedDocumentImmutable, DocumentIndexing
from dify_host.knowledge.pipeline_documents import CREATED_FROM
from dify_host.knowledge.records import Document
from dify_host.knowledge.remote import is_remote
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.knowledge.tables import documents
from dify_host.knowledge.tasks import INDEX, Tasks

__all__ = ["DocumentSync"]

_CLEARED = dict.fromkeys(
    (
        "processing_started_at",
        "parsing_completed_at",
        "cleaning_completed_at",
        "splitting_completed_at",
        "completed_at",
        "stopped_at",
        "error",
    )
)


class DocumentSync:
    """For one tenant."""

    def __init__(self, rows: KnowledgeRepository, tasks: Tasks) -> None:
        self._rows, self._tasks = rows, tasks

    async def one(self, dataset_id: str, document_id: str, kind: str) -> None:
        """Queue the reading of a document anew.

        DocumentNotFound, BadInput for one that is not of that source, ArchivedDocumentImmutable, DocumentIndexing.
        """
        async with self._rows.db.write() as conn:
            document = await self._rows.document(conn, dataset_id, document_id, lock=True)
            if document.data_source_type != kind or not is_remote(document):
                raise BadInput(
                    f"The document is not of the source {kind}, or a pipeline made it.",
                    hint="Upload it, or run the pipeline, again.",
                    document_id=document_id,
                )
            if document.archived:
                raise ArchivedDocumentImmutable("The archived document is not editable.", document_id=document_id)
            if document.indexing_status not in ("completed", "error"):
                raise DocumentIndexing("The document is being indexed.", hint="Wait.", document_id=document_id)
            await self._queue(conn, document)

    async def all(self, dataset_id: str, kind: str) -> int:
        """Queue every document of a source that is not archived, being indexed, or a pipeline's; returns how many."""
        query = self._rows.scoped_select(documents, documents.c.id).where(
            documents.c.dataset_id == dataset_id,
            documents.c.data_source_type == kind,
            documents.c.created_from != CREATED_FROM,
            documents.c.archived.is_(False),
            documents.c.indexing_status.in_(("completed", "error")),
        )
        async with self._rows.db.write() as conn:
            await self._rows.dataset(conn, dataset_id)
            ids = list((await conn.execute(query.order_by(documents.c.position))).scalars())
            for document_id in ids:
                await self._queue(conn, await self._rows.document(conn, dataset_id, document_id, lock=True))
        return len(ids)

    async def _queue(self, conn: AsyncConnection, document: Document) -> None:
        values = {"indexing_status": "waiting", **_CLEARED}
        change = self._rows.scoped_update(documents, values).where(documents.c.id == document.id)
        await conn.execute(change)
        await self._tasks.add(conn, INDEX, document.dataset_id, [document.id])
