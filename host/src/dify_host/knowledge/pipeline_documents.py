"""Documents that pipelines make: their rows at the start of a run, and how they stand when it ends without indexing."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.db.types import new_id, utc_now
from dify_host.knowledge.errors import ArchivedDocumentImmutable, DocumentIndexing
from dify_host.knowledge.links import Links
from dify_host.knowledge.records import Dataset, Document
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.knowledge.tables import documents

__all__ = ["CREATED_FROM", "PipelineDocuments", "SourceItem", "failed_document", "new_batch", "reading_document"]

CREATED_FROM: Final = "rag-pipeline"
_ENDED: Final = ("completed", "error")


class SourceItem(msgspec.Struct, frozen=True, kw_only=True):
    """What one document is made of: what the source says about it, and the uploaded file behind it, if there is one."""

    name: str
    info: dict[str, Any]
    upload_id: str | None = None


class PipelineDocuments:
    """Those of one tenant."""

    def __init__(self, rows: KnowledgeRepository) -> None:
        self._rows = rows
        self._links = Links(rows.db, rows.tenant)

    async def create(
        self, conn: AsyncConnection, dataset: Dataset, kind: str, items: Sequence[SourceItem], batch: str, user_id: str
    ) -> list[Document]:
        """A waiting document an item, in their order, after those that are there; the caller has locked the dataset."""
        highest = self._rows.scoped_select(documents, sa.func.max(documents.c.position))
        last = (await conn.execute(highest.where(documents.c.dataset_id == dataset.id))).scalar_one() or 0
        made = []
        for number, item in enumerate(items, 1):
            own = {"id": new_id(), "position": last + number, "name": item.name[:255], "file_id": item.upload_id}
            source = {"data_source_type": kind, "data_source_info": item.info, "created_from": CREATED_FROM}
            more = {"batch": batch, "created_by": user_id, "doc_form": dataset.chunk_structure or "text_model"}
            values = {**own, **source, **more, "dataset_id": dataset.id}
            await conn.execute(self._rows.scoped_insert(documents, values))
            if item.upload_id:
                await self._links.use_upload(conn, item.upload_id, user_id)
            made.append(await self._rows.document(conn, dataset.id, str(own["id"])))
        return made

    async def again(
        self, conn: AsyncConnection, dataset: Dataset, document_id: str, item: SourceItem | None = None
    ) -> Document:
        """Let a document that has ended wait again, made of another item if one is given.

        DocumentNotFound, DocumentIndexing while a run works on it, ArchivedDocumentImmutable.
        """
        document = await self._rows.document(conn, dataset.id, document_id, lock=True)
        if document.archived:
            raise ArchivedDocumentImmutable("The archived document is not editable.", document_id=document_id)
        if document.indexing_status not in _ENDED:
            raise DocumentIndexing("The document is being indexed.", hint="Wait.", document_id=document_id)
        values: dict[str, Any] = {"indexing_status": "waiting", "error": None, "stopped_at": None}
        if item is not None:
            values |= {"name": item.name[:255], "data_source_info": item.info, "file_id": item.upload_id}
        change = self._rows.scoped_update(documents, values).where(documents.c.id == document_id)
        await conn.execute(change)
        return await self._rows.document(conn, dataset.id, document_id)

    async def fail(self, document_id: str, reason: str) -> None:
        """Note why there is no run, or no index; one that has ended keeps its state."""
        async with self._rows.db.write() as conn:
            await conn.execute(failed_document(document_id, reason).where(self._rows.owned(documents)))


def new_batch() -> str:
    """The name of what is made at a time."""
    return time.strftime("%Y%m%d%H%M%S") + str(100_000 + secrets.randbelow(900_000))


def reading_document(document_id: str) -> sa.Update:
    """The document while its run works towards its chunks."""
    values = {"indexing_status": "parsing", "processing_started_at": utc_now(), "completed_at": None, "error": None}
    waits = documents.c.indexing_status == "waiting"
    return documents.update().where(documents.c.id == document_id, waits).values(**values)


def failed_document(document_id: str, reason: str) -> sa.Update:
    """The document after its run has come to an end without it; one that has ended keeps its state."""
    values = {"indexing_status": "error", "error": reason, "stopped_at": utc_now()}
    open_ = documents.c.indexing_status.not_in(_ENDED)
    return documents.update().where(documents.c.id == document_id, open_).values(**values)
