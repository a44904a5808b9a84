"""Segments of documents, and their child chunks."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from dify_kernel.errors import BadInput
from litestar import Controller, delete, get, patch, post
from litestar.params import FromQuery, JSONBody

from dify_host.http.callers import DatasetCaller, DatasetKey
from dify_host.knowledge.segments import NewSegment, SegmentChanges
from dify_host.service.datasets import PageSize
from dify_host.service.shapes import Deleted, IdInPath, PageNumber, deleted, page_body, shown
from dify_host.workspace import Workspace

__all__ = ["ChildBody", "ChildChunkController", "SegmentController", "SegmentPart", "SegmentStatus", "doc_form_of"]


SegmentStatus = Literal["waiting", "indexing", "completed", "error", "re_segment"]


class SegmentItem(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A new segment."""

    content: str
    answer: str | None = None
    keywords: list[str] | None = None
    attachment_ids: Annotated[list[str], msgspec.Meta(max_length=10)] | None = None


class SegmentsBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """New segments."""

    segments: list[SegmentItem] | None = None


class SegmentPart(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What to change of a segment; what is absent or null stays."""

    content: str | None = None
    answer: str | None = None
    keywords: list[str] | None = None
    regenerate_child_chunks: bool = False
    enabled: bool | None = None
    attachment_ids: list[str] | None = None

    def changes(self) -> SegmentChanges:
        """As the service takes them."""
        names = ("content", "answer", "keywords", "enabled", "attachment_ids")
        given = {name: value for name in names if (value := getattr(self, name)) is not None}
        return SegmentChanges(**given, regenerate_child_chunks=self.regenerate_child_chunks)


class SegmentBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A change of a segment."""

    segment: SegmentPart


class ChildBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The text of a child chunk."""

    content: str


class SegmentController(Controller):
    """Routes of segments."""

    path = "/datasets/{dataset_id:uuid}/documents/{document_id:uuid}/segments"
    tags = ("Segments",)

    @get("/")
    async def list_segments(
        self,
        dataset_id: IdInPath,
        document_id: IdInPath,
        caller: DatasetKey,
        page: PageNumber = 1,
        limit: PageSize = 20,
        status: FromQuery[list[SegmentStatus] | None] = None,
        keyword: FromQuery[str | None] = None,
    ) -> dict[str, Any]:
        """A page of segments in their order."""
        found = await caller.workspace.segments.find(
            str(dataset_id), str(document_id), page=page, limit=limit, status=status or (), keyword=keyword or ""
        )
        return {**page_body(found), "doc_form": await _form(caller, dataset_id, document_id)}

    @post("/", status_code=200)
    async def create(
        self, dataset_id: IdInPath, document_id: IdInPath, data: JSONBody[SegmentsBody], caller: DatasetKey
    ) -> dict[str, Any]:
        """Add segments at the end of a document; they are found when the call returns."""
        if not data.segments:
            raise BadInput("Segments is required", field="segments")
        new = [
            NewSegment(
                content=item.content,
                answer=item.answer,
                keywords=item.keywords,
                attachment_ids=item.attachment_ids or [],
            )
            for item in data.segments
        ]
        made = await caller.workspace.segments.create(str(dataset_id), str(document_id), new, caller.owner_id)
        return {"data": shown(made), "doc_form": await _form(caller, dataset_id, document_id)}

    @get("/{segment_id:uuid}")
    async def show(
        self, dataset_id: IdInPath, document_id: IdInPath, segment_id: IdInPath, caller: DatasetKey
    ) -> dict[str, Any]:
        """One segment."""
        found = await caller.workspace.segments.get(str(dataset_id), str(document_id), str(segment_id))
        return {"data": shown(found), "doc_form": await _form(caller, dataset_id, document_id)}

    @post("/{segment_id:uuid}", status_code=200)
    async def change(
        self,
        dataset_id: IdInPath,
        document_id: IdInPath,
        segment_id: IdInPath,
        data: JSONBody[SegmentBody],
        caller: DatasetKey,
    ) -> dict[str, Any]:
        """Change a segment; its new text is found when the call returns."""
        changed = await caller.workspace.segments.update(
            str(dataset_id), str(document_id), str(segment_id), data.segment.changes(), caller.owner_id
        )
        return {"data": shown(changed), "doc_form": await _form(caller, dataset_id, document_id)}

    @delete("/{segment_id:uuid}", status_code=200)
    async def remove(
        self, dataset_id: IdInPath, document_id: IdInPath, segment_id: IdInPath, caller: DatasetKey
    ) -> Deleted:
        """Delete a segment."""
        await caller.workspace.segments.delete(str(dataset_id), str(document_id), str(segment_id))
        return deleted()


class ChildChunkController(Controller):
    """Routes of child chunks."""

    path = "/datasets/{dataset_id:uuid}/documents/{document_id:uuid}/segments/{segment_id:uuid}/child_chunks"
    tags = ("Segments",)

    @get("/")
    async def list_children(
        self,
        dataset_id: IdInPath,
        document_id: IdInPath,
        segment_id: IdInPath,
        caller: DatasetKey,
        page: PageNumber = 1,
        limit: PageSize = 20,
        keyword: FromQuery[str | None] = None,
    ) -> dict[str, Any]:
        """A page of the segment's child chunks in their order."""
        found = await caller.workspace.segments.find_children(
            str(dataset_id), str(document_id), str(segment_id), page=page, limit=limit, keyword=keyword or ""
        )
        body = page_body(found)
        del body["has_more"]
        return {**body, "total_pages": -(-found.total // found.limit)}

    @post("/", status_code=200)
    async def create(
        self,
        dataset_id: IdInPath,
        document_id: IdInPath,
        segment_id: IdInPath,
        data: JSONBody[ChildBody],
        caller: DatasetKey,
    ) -> dict[str, Any]:
        """Add a child chunk."""
        place = str(dataset_id), str(document_id), str(segment_id)
        return {"data": shown(await caller.workspace.segments.create_child(*place, data.content, caller.owner_id))}

    @patch("/{child_chunk_id:uuid}")
    async def change(
        self,
        dataset_id: IdInPath,
        document_id: IdInPath,
        segment_id: IdInPath,
        child_chunk_id: IdInPath,
        data: JSONBody[ChildBody],
        caller: DatasetKey,
    ) -> dict[str, Any]:
        """Change a child chunk."""
        place = str(dataset_id), str(document_id), str(segment_id), str(child_chunk_id)
        return {"data": shown(await caller.workspace.segments.update_child(*place, data.content, caller.owner_id))}

    @delete("/{child_chunk_id:uuid}", status_code=200)
    async def remove(
        self,
        dataset_id: IdInPath,
        document_id: IdInPath,
        segment_id: IdInPath,
        child_chunk_id: IdInPath,
        caller: DatasetKey,
    ) -> Deleted:
        """Delete a child chunk."""
        place = str(dataset_id), str(document_id), str(segment_id), str(child_chunk_id)
        await caller.workspace.segments.delete_child(*place)
        return deleted()


async def _form(caller: DatasetCaller, dataset_id: object, document_id: object) -> str:
    return await doc_form_of(caller.workspace, str(dataset_id), str(document_id))


async def doc_form_of(workspace: Workspace, dataset_id: str, document_id: str) -> str:
    """The form of the document, which every answer names."""
    return (await workspace.documents.get(dataset_id, document_id)).doc_form
