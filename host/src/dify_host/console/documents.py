"""Documents of knowledge bases: list, add, look at, switch, pause, try again, rename, delete, download."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Controller, delete, get, patch, post, put
from litestar.params import FromPath, FromQuery, JSONBody

from dify_host.console.dataset_shapes import NewDocumentsBody
from dify_host.http.callers import Call
from dify_host.http.console_callers import DATASET_WRITERS, MEMBERS, ConsoleAccount
from dify_host.service.datasets import PageSize, dataset_body
from dify_host.service.documents import document_body, download_link
from dify_host.service.shapes import IdInPath, PageNumber, Success, page_body, shown

__all__ = ["DocumentController", "DocumentsController"]


class RenameBody(msgspec.Struct, kw_only=True):
    """Body of `/rename`."""

    name: str


class KindBody(msgspec.Struct, kw_only=True):
    """Body of a document's `/metadata`: what it is, and values by name."""

    doc_type: str | None = None
    doc_metadata: dict[str, Any] | None = None


class RetryBody(msgspec.Struct, kw_only=True):
    """Body of `/retry`."""

    document_ids: list[str]


class DocumentsController(Controller):
    """Routes of several documents."""

    path = "/datasets/{dataset_id:uuid}"

    @get("/documents", opt=MEMBERS)
    async def listed(
        self,
        dataset_id: IdInPath,
        caller: ConsoleAccount,
        page: PageNumber = 1,
        limit: PageSize = 20,
        keyword: FromQuery[str | None] = None,
        sort: FromQuery[str] = "-created_at",
        status: FromQuery[str | None] = None,
        fetch: FromQuery[bool] = False,
    ) -> dict[str, Any]:
        """A page of documents; with `fetch`, how many of their segments are completed."""
        found = await caller.workspace.documents.find(
            str(dataset_id),
            page=page,
            limit=limit,
            keyword=keyword or "",
            status=None if status in (None, "", "all") else status,
            sort=sort,
        )
        body = page_body(found)
        if fetch:
            known = {item.id: item for item in await caller.workspace.knowledge.lists.statuses(str(dataset_id))}
            for item in body["data"]:
                item["completed_segments"] = known[item["id"]].completed_segments
                item["total_segments"] = known[item["id"]].total_segments
        return body

    @post("/documents", status_code=200, opt=DATASET_WRITERS)
    async def add(
        self, dataset_id: IdInPath, data: JSONBody[NewDocumentsBody], caller: ConsoleAccount
    ) -> dict[str, Any]:
        """Index uploaded files."""
        sources = caller.workspace.knowledge.document_sources
        made = await sources.add(str(dataset_id), data.wish(), caller.account_id)
        return {"dataset": dataset_body(made.dataset), "documents": shown(made.documents), "batch": made.batch}

    @delete("/documents", status_code=204, opt=DATASET_WRITERS)
    async def remove_many(
        self, dataset_id: IdInPath, caller: ConsoleAccount, document_id: FromQuery[list[str] | None] = None
    ) -> None:
        """Delete the documents that the query names."""
        await caller.workspace.documents.delete_all(str(dataset_id), document_id or [])

    @patch("/documents/status/{action:str}/batch", opt=DATASET_WRITERS)
    async def set_status(
        self,
        dataset_id: IdInPath,
        action: FromPath[str],
        caller: ConsoleAccount,
        document_id: FromQuery[list[str] | None] = None,
    ) -> Success:
        """enable, disable, archive or un_archive the documents that the query names."""
        await caller.workspace.documents.set_status(str(dataset_id), action, document_id or [], caller.account_id)
        return Success()

    @post("/retry", status_code=204, opt=DATASET_WRITERS)
    async def retry(self, dataset_id: IdInPath, data: JSONBody[RetryBody], caller: ConsoleAccount) -> None:
        """Try failed documents again; those that have not failed are passed over."""
        await caller.workspace.documents.retry_all(str(dataset_id), data.document_ids)

    @get("/batch/{batch:str}/indexing-status", opt=MEMBERS)
    async def batch_status(self, dataset_id: IdInPath, batch: FromPath[str], caller: ConsoleAccount) -> dict[str, Any]:
        """How far the documents of a batch are."""
        return {"data": shown(await caller.workspace.documents.indexing_status(str(dataset_id), batch))}

    @get("/batch/{batch:str}/indexing-estimate", opt=MEMBERS)
    async def batch_estimate(
        self, dataset_id: IdInPath, batch: FromPath[str], caller: ConsoleAccount
    ) -> dict[str, Any]:
        """What indexing makes of a batch."""
        estimate: dict[str, Any] = shown(await caller.workspace.knowledge.estimates.batch(str(dataset_id), batch))
        return estimate


class DocumentController(Controller):
    """Routes of one document."""

    path = "/datasets/{dataset_id:uuid}/documents/{document_id:uuid}"

    @get("/", opt=MEMBERS)
    async def detail(
        self, dataset_id: IdInPath, document_id: IdInPath, caller: ConsoleAccount, metadata: FromQuery[str] = "all"
    ) -> dict[str, Any]:
        """One document; `metadata` is all, only or without."""
        return document_body(await caller.workspace.documents.get(str(dataset_id), str(document_id)), metadata)

    @delete("/", status_code=204, opt=DATASET_WRITERS)
    async def remove(self, dataset_id: IdInPath, document_id: IdInPath, caller: ConsoleAccount) -> None:
        """Delete a document with its segments."""
        await caller.workspace.documents.delete(str(dataset_id), str(document_id))

    @get("/download", opt=MEMBERS)
    async def download(self, dataset_id: IdInPath, document_id: IdInPath, caller: ConsoleAccount) -> dict[str, str]:
        """A signed link to the file that the document was made of."""
        return await download_link(caller.workspace, str(dataset_id), str(document_id))

    @get("/indexing-status", opt=MEMBERS)
    async def status(self, dataset_id: IdInPath, document_id: IdInPath, caller: ConsoleAccount) -> dict[str, Any]:
        """How far a document is."""
        found: dict[str, Any] = shown(await caller.workspace.knowledge.lists.status(str(dataset_id), str(document_id)))
        return found

    @get("/indexing-estimate", opt=MEMBERS)
    async def estimate(self, dataset_id: IdInPath, document_id: IdInPath, caller: ConsoleAccount) -> dict[str, Any]:
        """What indexing makes of a document."""
        found: dict[str, Any] = shown(
            await caller.workspace.knowledge.estimates.document(str(dataset_id), str(document_id))
        )
        return found

    @patch("/processing/{action:str}", opt=DATASET_WRITERS, status_code=200)
    async def process(
        self, dataset_id: IdInPath, document_id: IdInPath, action: FromPath[str], caller: ConsoleAccount
    ) -> Success:
        """pause or resume its indexing."""
        await caller.workspace.documents.process(str(dataset_id), str(document_id), action, caller.account_id)
        return Success()

    @patch(["/processing/pause", "/processing/resume"], opt=DATASET_WRITERS, status_code=204)
    async def process_quietly(
        self, dataset_id: IdInPath, document_id: IdInPath, caller: ConsoleAccount, request: Call
    ) -> None:
        """The same, answered without a body."""
        action = request.url.path.rpartition("/")[2]
        await caller.workspace.documents.process(str(dataset_id), str(document_id), action, caller.account_id)

    @put("/metadata", opt=DATASET_WRITERS)
    async def set_kind(
        self, dataset_id: IdInPath, document_id: IdInPath, data: JSONBody[KindBody], caller: ConsoleAccount
    ) -> dict[str, Any]:
        """Say what kind of text it is, with values by name."""
        await caller.workspace.metadata_fields.set_kind(
            str(dataset_id), str(document_id), data.doc_type, data.doc_metadata
        )
        return {"result": "success", "message": "Document metadata updated."}

    @post("/rename", status_code=200, opt=DATASET_WRITERS)
    async def rename(
        self, dataset_id: IdInPath, document_id: IdInPath, data: JSONBody[RenameBody], caller: ConsoleAccount
    ) -> dict[str, Any]:
        """Give a document another name."""
        found: dict[str, Any] = shown(
            await caller.workspace.documents.rename(str(dataset_id), str(document_id), data.name)
        )
        return found

    @get("/pipeline-execution-log", opt=MEMBERS)
    async def pipeline_log(self, dataset_id: IdInPath, document_id: IdInPath, caller: ConsoleAccount) -> dict[str, Any]:
        """How a pipeline made the document; null everywhere for one that was uploaded."""
        await caller.workspace.documents.get(str(dataset_id), str(document_id))
        made = await caller.workspace.pipelines.log_of(str(document_id))
        names = ("datasource_info", "datasource_type", "input_data", "datasource_node_id")
        return {name: getattr(made, name, None) for name in names}
