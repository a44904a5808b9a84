"""Other sources of documents: pages of online workspaces, and crawled websites."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from dify_kernel.contracts.datasource import NoParameters
from litestar import Controller, delete, get, post
from litestar.params import FromPath, FromQuery, JSONBody

from dify_host.console.dataset_shapes import NotionWorkspace, notion_items, person_of
from dify_host.datasources.crawls import CrawlState
from dify_host.datasources.pool import documents_of
from dify_host.http.console_callers import ADMINS, DATASET_WRITERS, MEMBERS, ConsoleAccount, ConsoleCaller
from dify_host.knowledge.remote import NOTION_IMPORT, ONLINE_DRIVE, WEBSITE_CRAWL
from dify_host.service.documents import Form, Rule
from dify_host.service.shapes import IdInPath, Success, shown

__all__ = ["DataSourceController", "DatasetSyncController", "NotionController", "WebsiteController"]


class KeyCredentials(msgspec.Struct, kw_only=True):
    """A key, and where it is good for; how it is sent the provider knows, whatever `auth_type` says."""

    auth_type: Annotated[str, msgspec.Meta(min_length=1)]
    config: dict[str, Any]


class BindingBody(msgspec.Struct, kw_only=True):
    """Body of `/api-key-auth/data-source/binding`."""

    category: Literal["website"]
    provider: Annotated[str, msgspec.Meta(min_length=1)]
    credentials: KeyCredentials


class CrawlBody(msgspec.Struct, kw_only=True):
    """Body of `/website/crawl`."""

    provider: str
    url: str
    options: dict[str, Any] = {}


class NotionEstimateBody(msgspec.Struct, kw_only=True):
    """Body of `/datasets/notion-indexing-estimate`."""

    notion_info_list: list[NotionWorkspace]
    process_rule: Rule
    doc_form: Form = "text_model"
    doc_language: str = "English"


class DataSourceController(Controller):
    """Routes of connected sources in the words of the time before plugins."""

    path = "/"
    opt = MEMBERS

    @get("/data-source/integrates")
    async def integrates(self, caller: ConsoleAccount) -> dict[str, Any]:
        """Sources connected by a login: none."""
        return {"data": []}

    @get("/api-key-auth/data-source")
    async def by_key(self, caller: ConsoleAccount) -> dict[str, Any]:
        """Providers of websites that the workspace has a key for; `/auth/plugin/datasource` shows the same."""
        return {"sources": shown(await caller.workspace.key_bindings.list())}

    @post("/api-key-auth/data-source/binding", status_code=200, opt=ADMINS)
    async def bind(self, data: JSONBody[BindingBody], caller: ConsoleAccount) -> Success:
        """Check a key with its service and keep it."""
        await caller.workspace.key_bindings.bind(data.provider, data.credentials.config, user_id=caller.account_id)
        return Success()

    @delete("/api-key-auth/data-source/{binding_id:uuid}", status_code=204, opt=ADMINS)
    async def unbind(self, binding_id: IdInPath, caller: ConsoleAccount) -> None:
        """Forget a key."""
        await caller.workspace.key_bindings.unbind(str(binding_id))


class WebsiteController(Controller):
    """Routes of crawls."""

    path = "/website"

    @post("/crawl", status_code=200, opt=DATASET_WRITERS)
    async def crawl(self, data: JSONBody[CrawlBody], caller: ConsoleAccount) -> dict[str, Any]:
        """Begin to read a website, with the workspace's default credentials of the provider."""
        job_id = await caller.workspace.crawls.start(data.provider, data.url, data.options)
        return {"status": "active", "job_id": job_id}

    @get("/crawl/status/{job_id:str}", opt=DATASET_WRITERS)
    async def status(self, job_id: FromPath[str], provider: FromQuery[str], caller: ConsoleAccount) -> dict[str, Any]:
        """How far a crawl is, and its pages when it has ended."""
        return _crawl_body(await caller.workspace.crawls.get(job_id, provider))


class NotionController(Controller):
    """Routes of online workspaces; the credentials say which provider reads them."""

    path = "/"

    @get("/notion/pre-import/pages", opt=DATASET_WRITERS)
    async def pages(
        self, caller: ConsoleAccount, credential_id: FromQuery[str], dataset_id: FromQuery[str | None] = None
    ) -> dict[str, Any]:
        """What may be read, by workspace; `is_bound` are documents of the dataset already."""
        installed = caller.workspace.installed_datasources
        provider, credentials = await installed.opened(await installed.provider_of(credential_id), credential_id)
        found = await documents_of(provider).workspaces(NoParameters(), credentials)
        bound: frozenset[str] = frozenset()
        if dataset_id:
            await caller.workspace.datasets.access.require(dataset_id, person_of(caller))
            bound = await caller.workspace.knowledge.document_sources.bound(dataset_id)
        listed = []
        for workspace in found:
            body: dict[str, Any] = msgspec.to_builtins(workspace)
            for page in body["pages"]:
                page["is_bound"] = page["page_id"] in bound
            listed.append(body)
        return {"notion_info": listed}

    @get("/notion/pages/{page_id:str}/{page_type:str}/preview", opt=DATASET_WRITERS)
    async def preview(
        self,
        page_id: FromPath[str],
        page_type: FromPath[Literal["page", "database"]],
        caller: ConsoleAccount,
        credential_id: FromQuery[str],
    ) -> dict[str, str]:
        """The text of one page."""
        info = {"credential_id": credential_id, "notion_page_id": page_id, "type": page_type}
        fetched = await caller.workspace.source_documents.fetch(NOTION_IMPORT, info)
        return {"content": fetched.text if fetched else ""}

    @post("/datasets/notion-indexing-estimate", status_code=200, opt=DATASET_WRITERS)
    async def estimate(self, data: JSONBody[NotionEstimateBody], caller: ConsoleAccount) -> dict[str, Any]:
        """How many segments there would be, and the first of them. Nothing is kept."""
        items = notion_items(data.notion_info_list)
        estimates = caller.workspace.knowledge.estimates
        found: dict[str, Any] = shown(
            await estimates.items(
                NOTION_IMPORT, items, data.process_rule.read(), data.doc_form, language=data.doc_language
            )
        )
        return found


class DatasetSyncController(Controller):
    """Routes that bring documents to what their source says now."""

    path = "/datasets/{dataset_id:uuid}"
    opt = DATASET_WRITERS

    @get("/notion/sync")
    async def all_pages(self, dataset_id: IdInPath, caller: ConsoleAccount) -> Success:
        """Read every document of online workspaces anew."""
        await caller.workspace.knowledge.document_sync.all(str(dataset_id), NOTION_IMPORT)
        return Success()

    @get("/documents/{document_id:uuid}/notion/sync")
    async def one_page(self, dataset_id: IdInPath, document_id: IdInPath, caller: ConsoleAccount) -> Success:
        """Read one anew."""
        return await _sync(caller, dataset_id, document_id, NOTION_IMPORT)

    @get("/documents/{document_id:uuid}/website-sync")
    async def one_site(self, dataset_id: IdInPath, document_id: IdInPath, caller: ConsoleAccount) -> Success:
        """Read a page of a website anew."""
        return await _sync(caller, dataset_id, document_id, WEBSITE_CRAWL)

    @get("/online-drive/sync")
    async def all_files(self, dataset_id: IdInPath, caller: ConsoleAccount) -> Success:
        """Read every file of drives anew."""
        await caller.workspace.knowledge.document_sync.all(str(dataset_id), ONLINE_DRIVE)
        return Success()

    @get("/documents/{document_id:uuid}/online-drive/sync")
    async def one_file(self, dataset_id: IdInPath, document_id: IdInPath, caller: ConsoleAccount) -> Success:
        """Read one anew."""
        return await _sync(caller, dataset_id, document_id, ONLINE_DRIVE)


async def _sync(caller: ConsoleCaller, dataset_id: object, document_id: object, kind: str) -> Success:
    await caller.workspace.knowledge.document_sync.one(str(dataset_id), str(document_id), kind)
    return Success()


def _crawl_body(state: CrawlState) -> dict[str, Any]:
    """A crawl as the console shows it; pages come with its end."""
    body = {
        "status": "error" if state.status == "failed" else state.status,
        "job_id": state.job_id,
        "total": state.total,
        "current": len(state.pages),
        "data": [],
        "time_consuming": round(state.seconds, 3),
    }
    if state.status == "failed":
        return body | {"message": state.error}
    if state.status == "completed":
        names = ("title", "description", "source_url")
        data = [{**{name: getattr(page, name) for name in names}, "markdown": page.content} for page in state.pages]
        return body | {"data": data}
    return body
