"""What routes of knowledge bases share: who may call them, and the bodies of several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from dify_kernel.errors import BadInput
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from dify_host.db.tenant import Tenant
from dify_host.http.console_callers import ConsoleCaller
from dify_host.knowledge.access import Person
from dify_host.knowledge.document_sources import ManyDocuments
from dify_host.knowledge.pipeline_documents import SourceItem
from dify_host.knowledge.remote import NOTION_IMPORT, ONLINE_DRIVE, UPLOAD_FILE, WEBSITE_CRAWL
from dify_host.platform import Platform
from dify_host.service.documents import Form, Options

__all__ = [
    "DataSource",
    "FileList",
    "NewDocumentsBody",
    "NotionWorkspace",
    "SourceList",
    "notion_items",
    "person_of",
    "visible_dataset",
]

SourceType = Literal["upload_file", "notion_import", "website_crawl", "online_drive"]


async def visible_dataset(connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
    """Guard: a knowledge base in the path is there (404), and its permission lets the account see it (403)."""
    dataset_id = connection.path_params.get("dataset_id")
    if dataset_id is None:
        return
    principal = connection.scope["user"]
    platform: Platform = connection.app.state.platform
    workspace = await platform.workspace(Tenant(principal.tenant_id))
    person = Person(account_id=principal.id, role=principal.role or "")
    await workspace.datasets.access.require(str(dataset_id), person)


def person_of(caller: ConsoleCaller) -> Person:
    """The account as knowledge bases see it."""
    return Person(account_id=caller.account_id, role=caller.role)


class FileList(msgspec.Struct, kw_only=True):
    """Uploaded files."""

    file_ids: list[str] = []


class NotionPage(msgspec.Struct, kw_only=True):
    """One document of an online workspace."""

    page_id: str
    page_name: str
    type: Literal["page", "database"] = "page"
    page_icon: dict[str, Any] | None = None


class NotionWorkspace(msgspec.Struct, kw_only=True):
    """Documents of one online workspace."""

    credential_id: str
    workspace_id: str
    pages: list[NotionPage]


class WebsiteList(msgspec.Struct, kw_only=True):
    """Pages of a crawl."""

    provider: str
    job_id: str
    urls: list[str]
    only_main_content: bool = True


class ChosenFile(msgspec.Struct, kw_only=True):
    """One file of a drive."""

    id: Annotated[str, msgspec.Meta(min_length=1)]
    name: str = ""


class DriveFiles(msgspec.Struct, kw_only=True):
    """Files of one drive; without a name, it is the first drive of the provider that the credentials are for."""

    credential_id: str
    files: list[ChosenFile]
    bucket: str = ""
    datasource_name: str = ""


class SourceList(msgspec.Struct, kw_only=True):
    """Where documents come from."""

    data_source_type: SourceType
    file_info_list: FileList | None = None
    notion_info_list: list[NotionWorkspace] | None = None
    website_info_list: WebsiteList | None = None
    online_drive_info_list: list[DriveFiles] | None = None

    @property
    def file_ids(self) -> list[str]:
        """The files."""
        return self.file_info_list.file_ids if self.file_info_list else []

    @property
    def items(self) -> list[SourceItem]:
        """The pages or files of an outside source; BadInput when there are none."""
        if self.data_source_type == NOTION_IMPORT:
            found = notion_items(self.notion_info_list or [])
        elif self.data_source_type == WEBSITE_CRAWL:
            found = _website_items(self.website_info_list) if self.website_info_list else []
        elif self.data_source_type == ONLINE_DRIVE:
            found = _drive_items(self.online_drive_info_list or [])
        else:
            return []
        if not found:
            raise BadInput("Nothing is chosen.", hint="Choose some.", field="info_list")
        return found


class DataSource(msgspec.Struct, kw_only=True):
    """What the console sends of a source."""

    info_list: SourceList


class NewDocumentsBody(Options, kw_only=True, forbid_unknown_fields=False):
    """Documents to add."""

    doc_form: Form | None = None
    data_source: DataSource | None = None
    duplicate: bool = True
    name: str | None = None
    is_multimodal: bool = False

    def wish(self) -> ManyDocuments:
        """As the service takes it."""
        options = msgspec.structs.replace(self.options(), created_from="web")
        chosen = self.data_source.info_list if self.data_source else None
        return ManyDocuments(
            file_ids=chosen.file_ids if chosen else [],
            items=chosen.items if chosen else [],
            kind=chosen.data_source_type if chosen else UPLOAD_FILE,
            options=options,
            duplicate=self.duplicate,
            original_document_id=self.original_document_id or None,
        )


def notion_items(workspaces: Sequence[NotionWorkspace]) -> list[SourceItem]:
    """The documents as knowledge bases take them, each once."""
    found = {}
    for workspace in workspaces:
        for page in workspace.pages:
            info = {
                "credential_id": workspace.credential_id,
                "notion_workspace_id": workspace.workspace_id,
                "notion_page_id": page.page_id,
                "notion_page_icon": page.page_icon,
                "type": page.type,
            }
            found[page.page_id] = SourceItem(name=page.page_name or "Untitled", info=info)
    return list(found.values())


def _website_items(chosen: WebsiteList) -> list[SourceItem]:
    shared = {"provider": chosen.provider, "job_id": chosen.job_id, "only_main_content": chosen.only_main_content}
    return [
        SourceItem(name=url if len(url) <= 255 else f"{url[:200]}...", info={"url": url, "mode": "crawl", **shared})
        for url in dict.fromkeys(chosen.urls)
    ]


def _drive_items(drives: Sequence[DriveFiles]) -> list[SourceItem]:
    """The files as knowledge bases take them, each once."""
    found = {}
    for drive in drives:
        of_drive = {name: getattr(drive, name) for name in ("credential_id", "datasource_name", "bucket")}
        for file in drive.files:
            name = (file.name or file.id.rpartition("/")[2] or file.id)[-255:]
            item = SourceItem(name=name, info={**of_drive, "id": file.id, "name": name})
            found[drive.credential_id, drive.bucket, file.id] = item
    return list(found.values())
