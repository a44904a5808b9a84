"""Segments and child chunks of one tenant's documents: list, add, change, switch, delete."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from dify_kernel.errors import BadInput, DifyError, NotFound
from msgspec import UNSET, UnsetType
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.db.engine import Database
from dify_host.db.repository import Page, fetch_page, to_struct
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id, utc_now
from dify_host.knowledge.attachments import Attachments
from dify_host.knowledge.chunk import cut_children, estimate_tokens, text_hash
from dify_host.knowledge.errors import ChildChunkNotIndexed, SegmentNotFound
from dify_host.knowledge.index_writer import IndexWriter
from dify_host.knowledge.pictures import signed
from dify_host.knowledge.records import ChildChunk, Dataset, Document, Segment
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.knowledge.rules import Rules
from dify_host.knowledge.segment_views import ChildChunkView, SegmentView, segment_view
from dify_host.knowledge.settings import KnowledgeSettings
from dify_host.knowledge.tables import child_chunks, document_segments, documents, segment_attachment_bindings

__all__ = [
    "NewSegment",
    "SegmentChanges",
    "SegmentService",
    "refuse_unready",
]


class NewSegment(msgspec.Struct, kw_only=True):
    """A segment that a person adds."""

    content: str
    answer: str | None = None
    keywords: list[str] | None = None
    attachment_ids: list[str] = []


class SegmentChanges(msgspec.Struct, kw_only=True):
    """What to change; what is not given stays. `regenerate_child_chunks` cuts the children anew from the content."""

    content: str | UnsetType = UNSET
    answer: str | UnsetType = UNSET
    keywords: list[str] | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    attachment_ids: list[str] | UnsetType = UNSET
    regenerate_child_chunks: bool = False


class SegmentService:
    """The segments of one tenant's documents; what it changes is in the index when the call returns.

    `sign` gives the address at which a file can be had, for attachments and for links to them in the text.
    """

    def __init__(
        self,
        db: Database,
        tenant: Tenant,
        writer: IndexWriter,
        *,
        settings: KnowledgeSettings | None = None,
        sign: Callable[[str], str] | None = None,
    ) -> None:
        self._sign = sign
        self._db = db
        self._writer = writer
        self._settings = settings or KnowledgeSettings()
        self._rows = KnowledgeRepository(db, tenant)
        self._attachments = Attachments(self._rows)

    # -- segments --------------------------------------------------------------------------------------------

    async def find(
        self,
        dataset_id: str,
        document_id: str,
        *,
        page: int = 1,
        limit: int = 20,
        status: Sequence[str] = (),
        keyword: str = "",
        enabled: bool | None = None,
        hit_count_gte: int | None = None,
    ) -> Page[SegmentView]:
        """List by position, at most 100 a page, with child chunks."""
        query = self._rows.scoped_select(document_segments).where(document_segments.c.document_id == document_id)
        if status:
            query = query.where(document_segments.c.status.in_(status))
        if keyword:
            query = query.where(sa.func.lower(document_segments.c.content).contains(keyword.lower(), autoescape=True))
        if enabled is not None:
            query = query.where(document_segments.c.enabled.is_(enabled))
        if hit_count_gte is not None:
            query = query.where(document_segments.c.hit_count >= hit_count_gte)
        query = query.order_by(document_segments.c.position, document_segments.c.id)
        async with self._db.read() as conn:
            await self._rows.document(conn, dataset_id, document_id)
            found = await fetch_page(conn, query, Segment, page=page, limit=min(limit, 100))
            data = await self._views(conn, found.data)
        return Page(data=data, page=found.page, limit=found.limit, total=found.total, has_more=found.has_more)

    async def get(self, dataset_id: str, document_id: str, segment_id: str) -> SegmentView:
        """Show one with its child chunks."""
        async with self._db.read() as conn:
            return (await self._views(conn, [await self._rows.segment(conn, dataset_id, document_id, segment_id)]))[0]

    async def create(
        self,
        dataset_id: str,
        document_id: str,
        new: Sequence[NewSegment],
        user_id: str,
        *,
        ids: Sequence[str] | None = None,
    ) -> list[SegmentView]:
        """Add segments at the end of a completed document; when the index fails, each keeps the error.

        With `ids`, one a segment, those that are there already are not added again.
        """
        self._check(new)
        async with self._db.write() as conn:
            dataset = await self._rows.dataset(conn, dataset_id)
            document = await self._rows.document(conn, dataset_id, document_id, lock=True)
            refuse_unready(document)
            if document.doc_form == "qa_model" and not all((item.answer or "").strip() for item in new):
                raise BadInput("Answer is required")
            named = dict(zip(ids or [new_id() for _ in new], new, strict=True))
            there = {segment.id for segment in await self._by_id(conn, list(named))}
            missing = [(segment_id, item) for segment_id, item in named.items() if segment_id not in there]
            highest = self._rows.scoped_select(document_segments, sa.func.max(document_segments.c.position))
            last = (await conn.execute(highest.where(document_segments.c.document_id == document_id))).scalar_one() or 0
            rows = [_row(dataset, document, item, last + n, user_id) for n, (_, item) in enumerate(missing, 1)]
            for row, (segment_id, item) in zip(rows, missing, strict=True):
                row["id"] = segment_id
                await conn.execute(self._rows.scoped_insert(document_segments, row))
                if item.attachment_ids:
                    await self._attachments.bind(conn, dataset_id, document_id, segment_id, item.attachment_ids)
            if document.doc_form == "hierarchical_model":
                rule = (await self._rows.process_rule(conn, document.dataset_process_rule_id)).effective
                for row in rows:
                    await self._add_children(conn, dataset, str(row["id"]), document_id, row["content"], rule, user_id)
            await self._count(conn, document_id)
        await self._index(dataset, list(named))
        async with self._db.read() as conn:
            return await self._views(conn, await self._by_id(conn, list(named)))

    async def update(
        self, dataset_id: str, document_id: str, segment_id: str, changes: SegmentChanges, user_id: str
    ) -> SegmentView:
        """Change a segment; a new content is in the index when the call returns."""
        async with self._db.write() as conn:
            dataset = await self._rows.dataset(conn, dataset_id)
            await self._rows.document(conn, dataset_id, document_id, lock=True)  # before its segments, as in indexing
            segment = await self._rows.segment(conn, dataset_id, document_id, segment_id)
            _refuse_busy(segment, changes)
            values: dict[str, Any] = {"updated_by": user_id}
            if not isinstance(changes.answer, UnsetType):
                values["answer"] = changes.answer
            if not isinstance(changes.keywords, UnsetType):
                values["keywords"] = changes.keywords
            if not isinstance(changes.enabled, UnsetType):
                off = {"disabled_at": utc_now(), "disabled_by": user_id}
                values |= {"enabled": changes.enabled} | (dict.fromkeys(off) if changes.enabled else off)
            content = segment.content if isinstance(changes.content, UnsetType) else changes.content.strip()
            if not content:
                raise BadInput("Content is empty")
            rewrite = content != segment.content or "keywords" in values
            if rewrite:
                values.setdefault("keywords", segment.keywords if content == segment.content else None)
                values |= _content_values(dataset, content) | {"status": "indexing", "indexing_at": utc_now()}
            await self._change(conn, segment_id, values)
            if not isinstance(changes.attachment_ids, UnsetType):
                await self._attachments.bind(conn, dataset_id, document_id, segment_id, changes.attachment_ids)
            await self._count(conn, document_id)
            stale = await self._new_children(conn, dataset, segment, content, changes, user_id)
        if stale:
            await self._writer.remove_nodes(dataset, stale)
        if rewrite or stale:
            await self._index(dataset, [segment_id])
        return await self.get(dataset_id, document_id, segment_id)

    async def delete(self, dataset_id: str, document_id: str, segment_id: str) -> None:
        """Delete one with its child chunks."""
        async with self._db.read() as conn:
            dataset = await self._rows.dataset(conn, dataset_id)
            segment = await self._rows.segment(conn, dataset_id, document_id, segment_id)
            children = await self._rows.children(conn, [segment_id])
        nodes = [node for node in (segment.index_node_id, *(child.index_node_id for child in children)) if node]
        await self._writer.remove_nodes(dataset, nodes, [segment_id])
        async with self._db.write() as conn:
            await self._rows.document(conn, dataset_id, document_id, lock=True)  # before its segments, as in indexing
            await conn.execute(self._rows.scoped_delete(document_segments).where(document_segments.c.id == segment_id))
            for table in (segment_attachment_bindings, child_chunks):
                await conn.execute(self._rows.scoped_delete(table).where(table.c.segment_id == segment_id))
            await self._count(conn, document_id)

    # -- child chunks ----------------------------------------------------------------------------------------

    async def find_children(
        self, dataset_id: str, document_id: str, segment_id: str, *, page: int = 1, limit: int = 20, keyword: str = ""
    ) -> Page[ChildChunkView]:
        """List the child chunks of a segment by position, at most 100 a page."""
        query = self._rows.scoped_select(child_chunks).where(child_chunks.c.segment_id == segment_id)
        if keyword:
            query = query.where(sa.func.lower(child_chunks.c.content).contains(keyword.lower(), autoescape=True))
        async with self._db.read() as conn:
            await self._rows.segment(conn, dataset_id, document_id, segment_id)
            ordered = query.order_by(child_chunks.c.position, child_chunks.c.id)
            return await fetch_page(conn, ordered, ChildChunkView, page=page, limit=min(limit, 100))

    async def create_child(
        self, dataset_id: str, document_id: str, segment_id: str, content: str, user_id: str
    ) -> ChildChunkView:
        """Add a child chunk of one's own and index it; ChildChunkNotIndexed when its text gives no vector."""
        content = _filled(content)
        async with self._db.write() as conn:
            dataset = await self._rows.dataset(conn, dataset_id)
            await self._rows.document(conn, dataset_id, document_id, lock=True)  # one position for each
            segment = await self._rows.segment(conn, dataset_id, document_id, segment_id)
            highest = self._rows.scoped_select(child_chunks, sa.func.max(child_chunks.c.position))
            last = (await conn.execute(highest.where(child_chunks.c.segment_id == segment_id))).scalar_one() or 0
            row = _child_row(dataset, segment_id, document_id, content, last + 1, user_id)
            await conn.execute(self._rows.scoped_insert(child_chunks, row | {"type": "customized"}))
        gone = self._rows.scoped_delete(child_chunks).where(child_chunks.c.id == row["id"])
        await self._index_child(dataset, segment, gone)
        return await self._child(segment_id, str(row["id"]))

    async def update_child(
        self, dataset_id: str, document_id: str, segment_id: str, child_id: str, content: str, user_id: str
    ) -> ChildChunkView:
        """Change a child chunk and index it again; ChildChunkNotIndexed when its text gives no vector."""
        content = _filled(content)
        before = await self._child(segment_id, child_id)
        this = child_chunks.c.id == child_id, child_chunks.c.segment_id == segment_id
        change = self._rows.scoped_update(
            child_chunks, {**_child_text(content), "type": "customized", "updated_by": user_id}
        )
        async with self._db.write() as conn:
            dataset = await self._rows.dataset(conn, dataset_id)
            segment = await self._rows.segment(conn, dataset_id, document_id, segment_id)
            await conn.execute(change.where(*this))
        back = self._rows.scoped_update(child_chunks, {**_child_text(before.content), "type": before.type})
        await self._index_child(dataset, segment, back.where(*this))
        return await self._child(segment_id, child_id)

    async def delete_child(self, dataset_id: str, document_id: str, segment_id: str, child_id: str) -> None:
        """Delete a child chunk."""
        async with self._db.read() as conn:
            dataset = await self._rows.dataset(conn, dataset_id)
            await self._rows.segment(conn, dataset_id, document_id, segment_id)
            nodes = [c.index_node_id for c in await self._rows.children(conn, [segment_id]) if c.id == child_id]
        await self._child(segment_id, child_id)
        await self._writer.remove_nodes(dataset, [node for node in nodes if node])
        async with self._db.write() as conn:
            await conn.execute(self._rows.scoped_delete(child_chunks).where(child_chunks.c.id == child_id))

    # -- inside ----------------------------------------------------------------------------------------------

    def _check(self, new: Sequence[NewSegment]) -> None:
        limit = self._settings.dataset_max_segments_per_request
        if not new:
            raise BadInput("Segments is required")
        if limit and len(new) > limit:
            raise BadInput(f"Exceeded maximum segments limit of {limit}.", hint="Send them in several requests.")
        for item in new:
            _filled(item.content)

    async def _index(self, dataset: Dataset, segment_ids: Sequence[str]) -> None:
        """Put segments into the index; a failure stays in their rows, and is raised."""
        async with self._db.read() as conn:
            segments = await self._by_id(conn, segment_ids)
        try:
            await self._writer.write(dataset, segments)
        except Exception as exc:
            failed = {"status": "error", "error": str(exc), "stopped_at": utc_now()}
            async with self._db.write() as conn:
                change = self._rows.scoped_update(document_segments, failed)
                await conn.execute(change.where(document_segments.c.id.in_(segment_ids)))
            raise

    async def _index_child(self, dataset: Dataset, segment: Segment, undo: sa.Delete | sa.Update) -> None:
        """Index a segment, one of whose children has a new text; one that cannot be indexed is taken back.

        So the others are found as before. ChildChunkNotIndexed, or the error of the model or the store.
        """
        failure: DifyError | None = None
        try:
            await self._index(dataset, [segment.id])
        except DifyError as exc:
            failure = exc
        else:
            async with self._db.read() as conn:
                for now in await self._by_id(conn, [segment.id]):
                    if now.error and now.error != segment.error:
                        failure = ChildChunkNotIndexed(f"The child chunk is not kept: {now.error}", hint="Change it.")
        if failure is not None:
            async with self._db.write() as conn:
                await conn.execute(undo)
            await self._index(dataset, [segment.id])
            raise failure

    async def _new_children(
        self,
        conn: AsyncConnection,
        dataset: Dataset,
        segment: Segment,
        content: str,
        changes: SegmentChanges,
        user_id: str,
    ) -> list[str]:
        """Replace the automatic children when asked; return the index ids of those that are gone."""
        document = await self._rows.document(conn, segment.dataset_id, segment.document_id)
        if document.doc_form != "hierarchical_model" or not changes.regenerate_child_chunks:
            return []
        rule = (await self._rows.process_rule(conn, document.dataset_process_rule_id)).effective
        old = await self._rows.children(conn, [segment.id])
        await conn.execute(self._rows.scoped_delete(child_chunks).where(child_chunks.c.segment_id == segment.id))
        await self._add_children(conn, dataset, segment.id, document.id, content, rule, user_id)
        return [child.index_node_id for child in old if child.index_node_id]

    async def _add_children(
        self,
        conn: AsyncConnection,
        dataset: Dataset,
        segment_id: str,
        document_id: str,
        content: str,
        rule: Rules,
        user_id: str,
    ) -> None:
        """Cut the content into children and write their rows."""
        for position, text in enumerate(cut_children(content, rule), 1):
            row = _child_row(dataset, segment_id, document_id, text, position, user_id)
            await conn.execute(self._rows.scoped_insert(child_chunks, row | {"type": "automatic"}))

    async def _views(self, conn: AsyncConnection, segments: Sequence[Segment]) -> list[SegmentView]:
        children: dict[str, list[ChildChunk]] = {}
        for child in await self._rows.children(conn, [segment.id for segment in segments]):
            children.setdefault(child.segment_id, []).append(child)
        attached = await self._attachments.shown(conn, [segment.id for segment in segments])
        views = [segment_view(segment, children.get(segment.id, ())) for segment in segments]
        for view in views:
            view.attachments = attached.get(view.id, [])
            if self._sign is not None and view.attachments:
                links = {item["id"]: self._sign(item["id"]) for item in view.attachments}
                view.attachments = [{**item, "source_url": links[item["id"]]} for item in view.attachments]
                view.sign_content = signed(view.content, links)
        return views

    async def _by_id(self, conn: AsyncConnection, ids: Sequence[str]) -> list[Segment]:
        query = self._rows.scoped_select(document_segments).where(document_segments.c.id.in_(ids))
        rows = await conn.execute(query.order_by(document_segments.c.position))
        return [to_struct(row, Segment) for row in rows]

    async def _child(self, segment_id: str, child_id: str) -> ChildChunkView:
        query = self._rows.scoped_select(child_chunks).where(
            child_chunks.c.id == child_id, child_chunks.c.segment_id == segment_id
        )
        async with self._db.read() as conn:
            row = (await conn.execute(query)).one_or_none()
        if row is None:
            raise NotFound("Child chunk not found.", child_chunk_id=child_id)
        return to_struct(row, ChildChunkView)

    async def _change(self, conn: AsyncConnection, segment_id: str, values: dict[str, Any]) -> None:
        change = self._rows.scoped_update(document_segments, values)
        await conn.execute(change.where(document_segments.c.id == segment_id))

    async def _count(self, conn: AsyncConnection, document_id: str) -> None:
        """Keep the document's figures those of its segments."""
        mine = document_segments.c.document_id == document_id
        words = self._rows.scoped_select(
            document_segments,
            sa.func.coalesce(sa.func.sum(document_segments.c.word_count), 0),
            sa.func.coalesce(sa.func.sum(document_segments.c.tokens), 0),
        ).where(mine)
        word_count, tokens = (await conn.execute(words)).one()
        change = self._rows.scoped_update(documents, {"word_count": int(word_count), "tokens": int(tokens)})
        await conn.execute(change.where(documents.c.id == document_id))


def refuse_unready(document: Document) -> None:
    """SegmentNotFound, as the API has it, unless segments can be added to the document now."""
    if document.indexing_status != "completed":
        raise SegmentNotFound("Document is not completed.", document_id=document.id)
    if not document.enabled:
        raise SegmentNotFound("Document is disabled.", document_id=document.id)


def _refuse_busy(segment: Segment, changes: SegmentChanges) -> None:
    if segment.status in ("waiting", "indexing", "re_segment"):
        raise BadInput("Segment is indexing, please try again later", segment_id=segment.id)
    if not segment.enabled and changes.enabled is not True:
        raise BadInput("Can't update disabled segment", segment_id=segment.id)


def _filled(content: str) -> str:
    if not content.strip():
        raise BadInput("Content is empty")
    return content.strip()


def _content_values(dataset: Dataset, content: str) -> dict[str, Any]:
    return {
        "content": content,
        "word_count": len(content),
        "tokens": estimate_tokens(content) if dataset.indexing_technique == "high_quality" else 0,
        "index_node_hash": text_hash(content),
    }


def _row(dataset: Dataset, document: Document, item: NewSegment, position: int, user_id: str) -> dict[str, Any]:
    return {
        "id": new_id(),
        "dataset_id": dataset.id,
        "document_id": document.id,
        "position": position,
        "answer": item.answer,
        "keywords": item.keywords,
        "index_node_id": new_id(),
        "status": "indexing",
        "indexing_at": utc_now(),
        "created_by": user_id,
        **_content_values(dataset, item.content.strip()),
    }


def _child_row(
    dataset: Dataset, segment_id: str, document_id: str, content: str, position: int, user_id: str
) -> dict[str, Any]:
    return {
        "id": new_id(),
        "dataset_id": dataset.id,
        "document_id": document_id,
        "segment_id": segment_id,
        "position": position,
        "index_node_id": new_id(),
        "created_by": user_id,
        **_child_text(content),
    }


def _child_text(content: str) -> dict[str, Any]:
    return {"content": content, "word_count": len(content), "index_node_hash": text_hash(content)}
