"""Segments of documents, and their child chunks."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Controller, delete, get, patch, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from dify_host.http.console_callers import DATASET_WRITERS, MEMBERS, ConsoleAccount, ConsoleCaller
from dify_host.knowledge.segment_batches import ChildText
from dify_host.knowledge.segment_import import ImportStatus
from dify_host.knowledge.segments import NewSegment
from dify_host.service.segments import ChildBody, SegmentPart, SegmentStatus, doc_form_of
from dify_host.service.shapes import IdInPath, Limit, PageNumber, Success, page_body, shown

__all__ = ["ChildChunkController", "SegmentController", "SegmentImportController", "SegmentsController"]

HitCount = Annotated[int | None, QueryParameter(ge=0, le=2**31 - 1)]


class NewSegmentBody(msgspec.Struct, kw_only=True):
    """Body of `/segment`."""

    content: str
    answer: str | None = None
    keywords: list[str] | None = None
    attachment_ids: list[str] | None = None


class ChangedSegmentBody(SegmentPart, kw_only=True, forbid_unknown_fields=False):
    """Body of a change."""


class ChildrenBody(msgspec.Struct, kw_only=True):
    """The children that a segment is to have."""

    chunks: list[ChildText]


class ImportBody(msgspec.Struct, kw_only=True):
    """The uploaded file that segments come from."""

    upload_file_id: UUID


class SegmentsController(Controller):
    """Routes of a document's segments."""

    path = "/datasets/{dataset_id:uuid}/documents/{document_id:uuid}"

    @get("/segments", opt=MEMBERS)
    async def listed(
        self,
        dataset_id: IdInPath,
        document_id: IdInPath,
        caller: ConsoleAccount,
        page: PageNumber = 1,
        limit: Limit = 20,
        status: FromQuery[list[SegmentStatus] | None] = None,
        hit_count_gte: HitCount = None,
        enabled: FromQuery[Literal["all", "true", "false"]] = "all",
        keyword: FromQuery[str | None] = None,
    ) -> dict[str, Any]:
        """A page of segments in their order."""
        found = await caller.workspace.segments.find(
            str(dataset_id),
            str(document_id),
            page=page,
            limit=limit,
            status=status or (),
            keyword=keyword or "",
            enabled=None if enabled == "all" else enabled == "true",
            hit_count_gte=hit_count_gte,
        )
        return _page(found)

    @post("/segment", status_code=200, opt=DATASET_WRITERS)
    async def create(
        self, dataset_id: IdInPath, document_id: IdInPath, data: JSONBody[NewSegmentBody], caller: ConsoleAccount
    ) -> dict[str, Any]:
        """Add a segment at the end; it is found when the call returns."""
        new = NewSegment(
            content=data.content,
            answer=data.answer,
            keywords=data.keywords,
            attachment_ids=data.attachment_ids or [],
        )
        place = str(dataset_id), str(document_id)
        (made,) = await caller.workspace.segments.create(*place, [new], caller.account_id)
        return await _answer(caller, place, made)

    @patch("/segment/{action:str}", opt=DATASET_WRITERS)
    async def set_enabled(
        self,
        dataset_id: IdInPath,
        document_id: IdInPath,
        action: FromPath[str],
        caller: ConsoleAccount,
        segment_id: FromQuery[list[str] | None] = None,
    ) -> Success:
        """enable or disable the segments that the query names."""
        place = str(dataset_id), str(document_id)
        batches = caller.workspace.knowledge.segment_batches
        await batches.set_enabled(*place, action, segment_id or [], caller.account_id)
        return Success()

    @delete("/segments", status_code=204, opt=DATASET_WRITERS)
    async def remove_many(
        self,
        dataset_id: IdInPath,
        document_id: IdInPath,
        caller: ConsoleAccount,
        segment_id: FromQuery[list[str] | None] = None,
    ) -> None:
        """Delete the segments that the query names."""
        batches = caller.workspace.knowledge.segment_batches
        await batches.delete(str(dataset_id), str(document_id), segment_id or [])


class SegmentController(Controller):
    """Routes of one segment."""

    path = "/datasets/{dataset_id:uuid}/documents/{document_id:uuid}/segments/{segment_id:uuid}"

    @patch("/", opt=DATASET_WRITERS)
    async def change(
        self,
        dataset_id: IdInPath,
        document_id: IdInPath,
        segment_id: IdInPath,
        data: JSONBody[ChangedSegmentBody],
        caller: ConsoleAccount,
    ) -> dict[str, Any]:
        """Change a segment; its new text is found when the call returns."""
        place = str(dataset_id), str(document_id)
        changed = await caller.workspace.segments.update(*place, str(segment_id), data.changes(), caller.account_id)
        return await _answer(caller, place, changed)

    @delete("/", status_code=204, opt=DATASET_WRITERS)
    async def remove(
        self, dataset_id: IdInPath, document_id: IdInPath, segment_id: IdInPath, caller: ConsoleAccount
    ) -> None:
        """Delete a segment."""
        await caller.workspace.segments.delete(str(dataset_id), str(document_id), str(segment_id))


class SegmentImportController(Controller):
    """Routes of segments that come from a CSV file."""

    path = "/datasets"
    opt = DATASET_WRITERS

    @post("/{dataset_id:uuid}/documents/{document_id:uuid}/segments/batch_import", status_code=200)
    async def begin(
        self, dataset_id: IdInPath, document_id: IdInPath, data: JSONBody[ImportBody], caller: ConsoleAccount
    ) -> dict[str, Any]:
        """Read segments from an uploaded file, in a job."""
        imports, place = caller.workspace.knowledge.segment_import, (str(dataset_id), str(document_id))
        return _built_in(await imports.begin(*place, str(data.upload_file_id), caller.account_id))

    @get("/batch_import_status/{job_id:uuid}")
    async def status(self, job_id: IdInPath, caller: ConsoleAccount) -> dict[str, Any]:
        """How far an import is."""
        return _built_in(await caller.workspace.knowledge.segment_import.status(str(job_id)))


class ChildChunkController(Controller):
    """Routes of child chunks."""

    path = "/datasets/{dataset_id:uuid}/documents/{document_id:uuid}/segments/{segment_id:uuid}/child_chunks"

    @get("/", opt=MEMBERS)
    async def listed(
        self,
        dataset_id: IdInPath,
        document_id: IdInPath,
        segment_id: IdInPath,
        caller: ConsoleAccount,
        page: PageNumber = 1,
        limit: Limit = 20,
        keyword: FromQuery[str | None] = None,
    ) -> dict[str, Any]:
        """A page of the segment's child chunks in their order."""
        place = str(dataset_id), str(document_id), str(segment_id)
        return _page(
            await caller.workspace.segments.find_children(*place, page=page, limit=limit, keyword=keyword or "")
        )

    @post("/", status_code=200, opt=DATASET_WRITERS)
    async def create(
        self,
        dataset_id: IdInPath,
        document_id: IdInPath,
        segment_id: IdInPath,
        data: JSONBody[ChildBody],
        caller: ConsoleAccount,
    ) -> dict[str, Any]:
        """Add a child chunk."""
        place = str(dataset_id), str(document_id), str(segment_id)
        return {"data": shown(await caller.workspace.segments.create_child(*place, data.content, caller.account_id))}

    @patch("/", opt=DATASET_WRITERS)
    async def replace(
        self,
        dataset_id: IdInPath,
        document_id: IdInPath,
        segment_id: IdInPath,
        data: JSONBody[ChildrenBody],
        caller: ConsoleAccount,
    ) -> dict[str, Any]:
        """Make the children of a segment these."""
        place = str(dataset_id), str(document_id), str(segment_id)
        batches = caller.workspace.knowledge.segment_batches
        return {"data": shown(await batches.replace_children(*place, data.chunks, caller.account_id))}

    @patch("/{child_chunk_id:uuid}", opt=DATASET_WRITERS)
    async def change(
        self,
        dataset_id: IdInPath,
        document_id: IdInPath,
        segment_id: IdInPath,
        child_chunk_id: IdInPath,
        data: JSONBody[ChildBody],
        caller: ConsoleAccount,
    ) -> dict[str, Any]:
        """Change a child chunk."""
        place = str(dataset_id), str(document_id), str(segment_id), str(child_chunk_id)
        return {"data": shown(await caller.workspace.segments.update_child(*place, data.content, caller.account_id))}

    @delete("/{child_chunk_id:uuid}", status_code=204, opt=DATASET_WRITERS)
    async def remove(
        self,
        dataset_id: IdInPath,
        document_id: IdInPath,
        segment_id: IdInPath,
        child_chunk_id: IdInPath,
        caller: ConsoleAccount,
    ) -> None:
        """Delete a child chunk."""
        place = str(dataset_id), str(document_id), str(segment_id), str(child_chunk_id)
        await caller.workspace.segments.delete_child(*place)


def _built_in(status: ImportStatus) -> dict[str, Any]:
    return {"job_id": status.job_id, "job_status": status.job_status, "error": status.error}


def _page(found: Any) -> dict[str, Any]:
    body = page_body(found)
    del body["has_more"]
    return {**body, "total_pages": -(-found.total // found.limit)}


async def _answer(caller: ConsoleCaller, place: tuple[str, str], segment: Any) -> dict[str, Any]:
    return {"data": shown(segment), "doc_form": await doc_form_of(caller.workspace, *place)}
