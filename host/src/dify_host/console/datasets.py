"""Knowledge bases: list, make, look at, change, delete; who sees them, who uses them, what they were asked."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Controller, delete, get, patch, post
from litestar.params import FromQuery, JSONBody

from dify_host.console.dataset_shapes import NewDocumentsBody, person_of
from dify_host.http.console_callers import DATASET_WRITERS, MEMBERS, ConsoleAccount
from dify_host.knowledge.datasets import NewDataset
from dify_host.knowledge.links import UsingApp
from dify_host.service.datasets import DatasetChangesBody, NewDatasetBody, PageSize, dataset_body
from dify_host.service.shapes import IdInPath, PageNumber, page_body, shown

__all__ = ["DatasetController", "DatasetFactsController"]


class NewConsoleDataset(NewDatasetBody, kw_only=True, forbid_unknown_fields=False):
    """Body of `POST /datasets`."""


class ChangedConsoleDataset(DatasetChangesBody, kw_only=True, forbid_unknown_fields=False):
    """Body of `PATCH /datasets/{dataset_id}`; what is absent or null stays."""

    icon_info: dict[str, Any] | None = None
    is_multimodal: bool | None = None


class FirstDocuments(NewDocumentsBody, kw_only=True, forbid_unknown_fields=False):
    """Body of `/datasets/init`."""

    name: Annotated[str, msgspec.Meta(max_length=40)] | None = None


class DatasetController(Controller):
    """Routes of knowledge bases."""

    path = "/datasets"

    @get("/", opt=MEMBERS)
    async def listed(
        self,
        caller: ConsoleAccount,
        page: PageNumber = 1,
        limit: PageSize = 20,
        keyword: FromQuery[str | None] = None,
        tag_ids: FromQuery[list[str] | None] = None,
        ids: FromQuery[list[str] | None] = None,
        include_all: FromQuery[bool] = False,
    ) -> dict[str, Any]:
        """Those that the account may see, newest first; `include_all` shows the owner every one."""
        found = await caller.workspace.datasets.find(
            page=page,
            limit=limit,
            keyword=keyword or "",
            tag_ids=tag_ids or (),
            ids=ids or None,
            person=person_of(caller),
            include_all=include_all,
        )
        return {**page_body(found), "data": [dataset_body(item, members=True) for item in found.data]}

    @post("/", status_code=201, opt=DATASET_WRITERS)
    async def create(self, data: JSONBody[NewConsoleDataset], caller: ConsoleAccount) -> dict[str, Any]:
        """Make an empty knowledge base."""
        return dataset_body(await caller.workspace.datasets.create(data.new(), caller.account_id), members=True)

    @post("/init", status_code=200, opt=DATASET_WRITERS)
    async def begin(self, data: JSONBody[FirstDocuments], caller: ConsoleAccount) -> dict[str, Any]:
        """Make a knowledge base of uploaded files, and index them."""
        new = NewDataset(
            name=data.name or "",
            indexing_technique=data.indexing_technique,
            embedding_model=data.embedding_model or None,
            embedding_model_provider=data.embedding_model_provider or None,
            retrieval_model=data.retrieval_model.given() if data.retrieval_model else None,
        )
        made = await caller.workspace.knowledge.document_sources.begin(new, data.wish(), caller.account_id)
        return {"dataset": dataset_body(made.dataset), "documents": shown(made.documents), "batch": made.batch}

    @get("/{dataset_id:uuid}", opt=MEMBERS)
    async def detail(self, dataset_id: IdInPath, caller: ConsoleAccount) -> dict[str, Any]:
        """One knowledge base."""
        found = await caller.workspace.datasets.get(str(dataset_id))
        return dataset_body(found, members=found.permission == "partial_members")

    @patch("/{dataset_id:uuid}", opt=DATASET_WRITERS)
    async def change(
        self, dataset_id: IdInPath, data: JSONBody[ChangedConsoleDataset], caller: ConsoleAccount
    ) -> dict[str, Any]:
        """Change a knowledge base; another technique or embedding model indexes its documents again."""
        changed = await caller.workspace.datasets.update(
            str(dataset_id), data.changes(), caller.account_id, role=caller.role
        )
        return dataset_body(changed, members=True)

    @delete("/{dataset_id:uuid}", status_code=204, opt=DATASET_WRITERS)
    async def remove(self, dataset_id: IdInPath, caller: ConsoleAccount) -> None:
        """Delete a knowledge base with all it holds."""
        await caller.workspace.datasets.delete(str(dataset_id))


class DatasetFactsController(Controller):
    """Routes that tell something of a knowledge base."""

    path = "/datasets/{dataset_id:uuid}"
    opt = MEMBERS

    @get("/use-check")
    async def use_check(self, dataset_id: IdInPath, caller: ConsoleAccount) -> dict[str, Any]:
        """Whether an app uses it."""
        return {"is_using": bool(await caller.workspace.knowledge.lists.using_apps(str(dataset_id)))}

    @get("/related-apps")
    async def related_apps(self, dataset_id: IdInPath, caller: ConsoleAccount) -> dict[str, Any]:
        """The apps that use it."""
        found = await caller.workspace.knowledge.lists.using_apps(str(dataset_id))
        links = caller.workspace.files.signed_url
        return {"data": [_app_body(app, links) for app in found], "total": len(found)}

    @get("/indexing-status")
    async def indexing_status(self, dataset_id: IdInPath, caller: ConsoleAccount) -> dict[str, Any]:
        """How far every document is."""
        return {"data": shown(await caller.workspace.knowledge.lists.statuses(str(dataset_id)))}

    @get("/error-docs")
    async def failed(self, dataset_id: IdInPath, caller: ConsoleAccount) -> dict[str, Any]:
        """Documents that failed or are paused."""
        found = await caller.workspace.knowledge.lists.failed(str(dataset_id))
        return {"data": shown(found), "total": len(found)}

    @get("/permission-part-users")
    async def members(self, dataset_id: IdInPath, caller: ConsoleAccount) -> dict[str, Any]:
        """The accounts on its list."""
        return {"data": await caller.workspace.datasets.access.members(str(dataset_id))}

    @get("/auto-disable-logs")
    async def auto_disabled(self, dataset_id: IdInPath, caller: ConsoleAccount) -> dict[str, Any]:
        """Documents that were switched off by themselves: none, as nothing here does that."""
        return {"document_ids": [], "count": 0}

    @get("/queries")
    async def queries(
        self, dataset_id: IdInPath, caller: ConsoleAccount, page: PageNumber = 1, limit: PageSize = 20
    ) -> dict[str, Any]:
        """What was asked, newest first."""
        return page_body(await caller.workspace.knowledge.lists.queries(str(dataset_id), page=page, limit=limit))


def _app_body(app: UsingApp, links: Any) -> dict[str, Any]:
    body: dict[str, Any] = shown(app)
    return {**body, "icon_url": links(app.icon) if app.icon_type == "image" and app.icon else None}
