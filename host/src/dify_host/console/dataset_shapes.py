"""What routes of knowledge bases share: who may call them, and the bodies of several."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from dify_kernel.errors import NotImplementedYet
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from dify_host.db.tenant import Tenant
from dify_host.http.console_callers import ConsoleCaller
from dify_host.knowledge.access import Person
from dify_host.knowledge.document_sources import ManyDocuments
from dify_host.platform import Platform
from dify_host.service.documents import Form, Options

__all__ = ["DataSource", "FileList", "NewDocumentsBody", "SourceList", "no_source", "person_of", "visible_dataset"]

SourceType = Literal["upload_file", "notion_import", "website_crawl"]


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


class SourceList(msgspec.Struct, kw_only=True):
    """Where documents come from; only files can be read here."""

    data_source_type: SourceType
    file_info_list: FileList | None = None
    notion_info_list: list[dict[str, Any]] | None = None
    website_info_list: dict[str, Any] | None = None

    @property
    def file_ids(self) -> list[str]:
        """The files; NotImplementedYet for another source."""
        if self.data_source_type != "upload_file":
            raise no_source(self.data_source_type)
        return self.file_info_list.file_ids if self.file_info_list else []


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
        return ManyDocuments(
            file_ids=self.data_source.info_list.file_ids if self.data_source else [],
            options=options,
            duplicate=self.duplicate,
            original_document_id=self.original_document_id or None,
        )


def no_source(kind: str) -> NotImplementedYet:
    """The error of a source that cannot be read here."""
    return NotImplementedYet(
        f"Documents of source {kind} cannot be read here.", hint="Upload files, or send texts over the Service API."
    )
