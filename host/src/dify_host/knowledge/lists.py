"""What is told about a knowledge base beside itself: apps that use it, how far its documents are, what was asked."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from dify_kernel.errors import NotFound

from dify_host.db.repository import Page, to_struct
from dify_host.knowledge.document_views import DocumentViews, IndexingStatus
from dify_host.knowledge.links import Links, UsingApp
from dify_host.knowledge.records import Document
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.knowledge.rules import ProcessRule
from dify_host.knowledge.tables import dataset_queries, datasets, documents

__all__ = ["KnowledgeLists", "PastQuery"]


class PastQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A question that was asked: `queries` is [{content_type, content, file_info}]."""

    id: str
    queries: list[dict[str, Any]]
    source: str
    source_app_id: str | None
    created_by_role: str
    created_by: str
    created_at: datetime


class KnowledgeLists:
    """Lists of one tenant's knowledge bases; each raises DatasetNotFound."""

    def __init__(self, rows: KnowledgeRepository, links: Links) -> None:
        self._rows = rows
        self._links = links
        self._views = DocumentViews(rows, links)

    async def using_apps(self, dataset_id: str) -> list[UsingApp]:
        """The apps that use it, newest first."""
        async with self._rows.db.read() as conn:
            await self._rows.dataset(conn, dataset_id)
            return await self._links.using_apps(conn, dataset_id)

    async def statuses(self, dataset_id: str) -> list[IndexingStatus]:
        """How far every document is, in their order."""
        return await self._documents(dataset_id)

    async def failed(self, dataset_id: str) -> list[IndexingStatus]:
        """Documents that ended with an error, or are paused, in their order."""
        return await self._documents(
            dataset_id, sa.or_(documents.c.indexing_status == "error", documents.c.is_paused.is_(True))
        )

    async def status(self, dataset_id: str, document_id: str) -> IndexingStatus:
        """How far one document is; DocumentNotFound."""
        async with self._rows.db.read() as conn:
            document = await self._rows.document(conn, dataset_id, document_id)
            (found,) = await self._views.statuses(conn, [document])
        return found

    async def queries(self, dataset_id: str, *, page: int = 1, limit: int = 20) -> Page[PastQuery]:
        """What was asked, newest first, at most 100 a page."""
        page, limit = max(page, 1), min(max(limit, 1), 100)
        owned = self._rows.reached_through(dataset_queries.c.dataset_id, root=datasets)
        query = sa.select(dataset_queries).where(dataset_queries.c.dataset_id == dataset_id, owned)
        counted = sa.select(sa.func.count()).select_from(query.subquery())
        newest = query.order_by(dataset_queries.c.created_at.desc(), dataset_queries.c.id.desc())
        async with self._rows.db.read() as conn:
            await self._rows.dataset(conn, dataset_id)
            total = (await conn.execute(counted)).scalar_one()
            rows = await conn.execute(newest.limit(limit).offset((page - 1) * limit))
            data = [_past(row) for row in rows]
        return Page(data=data, page=page, limit=limit, total=total, has_more=page * limit < total)

    async def rule(self, dataset_id: str) -> ProcessRule:
        """The newest process rule of a dataset; the automatic one when it has none."""
        async with self._rows.db.read() as conn:
            await self._rows.dataset(conn, dataset_id)
            return await self._rows.process_rule(conn, await self._rows.latest_rule_id(conn, dataset_id))

    async def dataset_of(self, document_id: str) -> str | None:
        """The id of the dataset of a document of the tenant; None when there is no such document."""
        query = self._rows.scoped_select(documents, documents.c.dataset_id).where(documents.c.id == document_id)
        async with self._rows.db.read() as conn:
            found: str | None = (await conn.execute(query)).scalar_one_or_none()
        return found

    async def file_of(self, dataset_id: str, document_id: str) -> str:
        """The id of the uploaded file of a document; NotFound when it has none."""
        async with self._rows.db.read() as conn:
            document = await self._rows.document(conn, dataset_id, document_id)
            if document.data_source_type != "upload_file" or document.file_id is None:
                raise NotFound("Document does not have an uploaded file to download.", document_id=document_id)
            return (await self._links.upload(conn, document.file_id)).id

    async def _documents(self, dataset_id: str, *conditions: sa.ColumnElement[bool]) -> list[IndexingStatus]:
        query = self._rows.scoped_select(documents).where(documents.c.dataset_id == dataset_id, *conditions)
        async with self._rows.db.read() as conn:
            await self._rows.dataset(conn, dataset_id)
            rows = await conn.execute(query.order_by(documents.c.position, documents.c.id))
            return await self._views.statuses(conn, [to_struct(row, Document) for row in rows])


def _past(row: sa.Row[Any]) -> PastQuery:
    try:
        queries = msgspec.json.decode(row.content)
    except msgspec.DecodeError:  # rows of early versions hold the text alone
        queries = row.content
    if not isinstance(queries, list):
        queries = [{"content_type": "text_query", "content": row.content}]
    values = {name: getattr(row, name) for name in PastQuery.__struct_fields__ if name != "queries"}
    return PastQuery(queries=[{"file_info": None, **item} for item in queries], **values)
