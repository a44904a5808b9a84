"""Documents as the API shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from dify_kernel.errors import BadInput
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.db.repository import Page, fetch_page
from dify_host.knowledge.links import Links, Upload
from dify_host.knowledge.records import Document
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.knowledge.tables import dataset_metadatas, document_segments, documents
from dify_host.knowledge.tasks import Tasks
from dify_host.knowledge.waiting import reasons

__all__ = ["DocumentDetail", "DocumentFilter", "DocumentView", "DocumentViews", "IndexingStatus", "has_display_status"]


class DocumentView(msgspec.Struct, kw_only=True):
    """A document in lists and answers; `doc_metadata` is [{id, name, type, value}]."""

    id: str
    position: int
    data_source_type: str
    data_source_info: dict[str, Any]
    data_source_detail_dict: dict[str, Any]
    dataset_process_rule_id: str | None
    name: str
    created_from: str
    created_by: str
    created_at: datetime
    tokens: int | None
    indexing_status: str
    error: str | None
    enabled: bool
    disabled_at: datetime | None
    disabled_by: str | None
    archived: bool
    display_status: str
    word_count: int | None
    hit_count: int
    doc_form: str
    doc_metadata: list[dict[str, Any]]


class DocumentDetail(DocumentView, kw_only=True):
    """One document with all that is known about it."""

    dataset_process_rule: dict[str, Any]
    document_process_rule: dict[str, Any]
    completed_at: datetime | None
    updated_at: datetime
    indexing_latency: float | None
    doc_type: str | None
    doc_language: str | None
    segment_count: int
    average_segment_length: float


class IndexingStatus(msgspec.Struct, kw_only=True):
    """How far a document is; `reason` says what it waits for, None at its end."""

    id: str
    indexing_status: str
    processing_started_at: datetime | None
    parsing_completed_at: datetime | None
    cleaning_completed_at: datetime | None
    splitting_completed_at: datetime | None
    completed_at: datetime | None
    paused_at: datetime | None
    error: str | None
    stopped_at: datetime | None
    completed_segments: int
    total_segments: int
    reason: str | None = None


class DocumentFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which documents are listed, and in which order; an unknown order is the newest first."""

    keyword: str = ""
    status: str | None = None
    sort: str = ""


class DocumentViews:
    """Builds the views of one tenant's documents."""

    def __init__(self, rows: KnowledgeRepository, links: Links) -> None:
        self._rows = rows
        self._links = links
        self._tasks = Tasks(rows.db, rows.tenant)

    async def find(
        self, conn: AsyncConnection, dataset_id: str, wanted: DocumentFilter, *, page: int, limit: int
    ) -> Page[DocumentView]:
        """A page of a dataset's documents, at most 100."""
        query = self._rows.scoped_select(documents).where(documents.c.dataset_id == dataset_id)
        if wanted.keyword:
            query = query.where(sa.func.lower(documents.c.name).contains(wanted.keyword.lower(), autoescape=True))
        if wanted.status:
            query = query.where(has_display_status(wanted.status))
        ordered = query.order_by(*self._order(wanted.sort))
        found = await fetch_page(conn, ordered, Document, page=page, limit=min(limit, 100))
        return Page(
            data=await self.views(conn, found.data),
            page=found.page,
            limit=found.limit,
            total=found.total,
            has_more=found.has_more,
        )

    def _order(self, sort: str) -> list[sa.ColumnElement[Any]]:
        newest = [documents.c.created_at.desc(), documents.c.position.desc(), documents.c.id.desc()]
        if sort == "created_at":
            return [documents.c.created_at.asc(), documents.c.position.asc(), documents.c.id.asc()]
        if sort.lstrip("-") != "hit_count":
            return [*newest]
        hits = (
            self._rows.scoped_select(document_segments, sa.func.coalesce(sa.func.sum(document_segments.c.hit_count), 0))
            .where(document_segments.c.document_id == documents.c.id)
            .correlate(documents)
            .scalar_subquery()
        )
        return [hits.desc() if sort.startswith("-") else hits.asc(), *newest]

    async def views(self, conn: AsyncConnection, found: Sequence[Document]) -> list[DocumentView]:
        """The views of these documents, in their order."""
        hits = await self._segments(conn, [document.id for document in found])
        uploads = await self._uploads(conn, found)
        fields = await self._fields(conn, {document.dataset_id for document in found})
        return [msgspec.convert(self._values(document, hits, uploads, fields), DocumentView) for document in found]

    async def detail(self, conn: AsyncConnection, document: Document) -> DocumentDetail:
        """One document with its rules and figures."""
        stats = await self._segments(conn, [document.id])
        uploads = await self._uploads(conn, [document])
        fields = await self._fields(conn, {document.dataset_id})
        rule = msgspec.to_builtins(await self._rows.process_rule(conn, document.dataset_process_rule_id))
        own = {"id": document.dataset_process_rule_id, "dataset_id": document.dataset_id, **rule}
        latest = await self._rows.latest_rule_id(conn, document.dataset_id)
        count = stats[document.id].number if document.id in stats else 0
        more = {
            "dataset_process_rule": msgspec.to_builtins(await self._rows.process_rule(conn, latest)),
            "document_process_rule": own if document.dataset_process_rule_id else {},
            "segment_count": count,
            "average_segment_length": (document.word_count or 0) / count if count else 0.0,
        }
        return msgspec.convert({**self._values(document, stats, uploads, fields), **more}, DocumentDetail)

    async def statuses(self, conn: AsyncConnection, found: Sequence[Document]) -> list[IndexingStatus]:
        """How far these documents are, in their order."""
        stats = await self._segments(conn, [document.id for document in found])
        told = await reasons(conn, self._tasks, found)
        return [
            msgspec.convert(
                {
                    **msgspec.structs.asdict(document),
                    "indexing_status": "paused" if document.display_status == "paused" else document.indexing_status,
                    "completed_segments": int(stats[document.id].completed) if document.id in stats else 0,
                    "total_segments": stats[document.id].number if document.id in stats else 0,
                    "reason": told.get(document.id),
                },
                IndexingStatus,
            )
            for document in found
        ]

    def _values(
        self,
        document: Document,
        stats: Mapping[str, Any],
        uploads: Mapping[str, Upload],
        fields: Mapping[tuple[str, str], Any],
    ) -> dict[str, Any]:
        info = document.data_source_info or {}
        upload = uploads.get(str(info.get("upload_file_id")))
        return {
            **msgspec.structs.asdict(document),
            "data_source_info": info,
            "data_source_detail_dict": {"upload_file": _upload_values(upload)} if upload else {},
            "display_status": document.display_status,
            "hit_count": int(stats[document.id].hits or 0) if document.id in stats else 0,
            "doc_metadata": [
                {"id": field.id, "name": name, "type": field.type, "value": value}
                for name, value in (document.doc_metadata or {}).items()
                if (field := fields.get((document.dataset_id, name))) is not None
            ],
        }

    async def _segments(self, conn: AsyncConnection, ids: Sequence[str]) -> dict[str, Any]:
        """Figures of the documents' segments by document id: number, completed, hits."""
        completed = sa.case((document_segments.c.status == "completed", 1), else_=0)
        query = self._rows.scoped_select(
            document_segments,
            document_segments.c.document_id,
            sa.func.count().label("number"),
            sa.func.sum(completed).label("completed"),
            sa.func.sum(document_segments.c.hit_count).label("hits"),
        ).where(document_segments.c.document_id.in_(ids))
        return {row.document_id: row for row in await conn.execute(query.group_by(document_segments.c.document_id))}

    async def _uploads(self, conn: AsyncConnection, found: Sequence[Document]) -> dict[str, Upload]:
        ids = {
            str(document.data_source_info["upload_file_id"])
            for document in found
            if document.data_source_info and document.data_source_info.get("upload_file_id")
        }
        return {upload.id: upload for upload in await self._links.uploads(conn, sorted(ids))}

    async def _fields(self, conn: AsyncConnection, dataset_ids: set[str]) -> dict[tuple[str, str], Any]:
        query = self._rows.scoped_select(dataset_metadatas).where(dataset_metadatas.c.dataset_id.in_(dataset_ids))
        return {(row.dataset_id, row.name): row for row in await conn.execute(query)}


def has_display_status(status: str) -> sa.ColumnElement[bool]:
    """The condition of a display status; BadInput for an unknown one. `active` and `enabled` mean available."""
    state, completed = documents.c.indexing_status, documents.c.indexing_status == "completed"
    working = state.in_(("parsing", "cleaning", "splitting", "indexing"))
    enabled, archived, paused = (documents.c[name].is_(True) for name in ("enabled", "archived", "is_paused"))
    available = sa.and_(completed, enabled, sa.not_(archived))
    conditions: dict[str, sa.ColumnElement[bool]] = {
        "queuing": state == "waiting",
        "indexing": sa.and_(working, sa.not_(paused)),
        "paused": sa.and_(working, paused),
        "error": state == "error",
        "available": available,
        "active": available,
        "enabled": available,
        "disabled": sa.and_(completed, sa.not_(enabled), sa.not_(archived)),
        "archived": sa.and_(completed, archived),
    }
    if status not in conditions:
        raise BadInput(f"status {status!r} is unknown.", hint=f"Use one of: {', '.join(conditions)}.")
    return conditions[status]


def _upload_values(upload: Upload) -> dict[str, Any]:
    shown = ("id", "name", "size", "extension", "mime_type", "created_by", "created_at")
    return {name: getattr(upload, name) for name in shown}
