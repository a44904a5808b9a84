"""What a pipeline is run on: files that were uploaded, and what data sources of plugins offer, by provider and name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, Protocol

import msgspec
from dify_kernel.errors import BadInput
from dify_kernel.graph.values import FileTransfer

from dify_host.files.service import FileService
from dify_host.knowledge.pipeline_documents import SourceItem

__all__ = ["KINDS", "LOCAL_FILE", "DatasourceRef", "Datasources", "source_item"]

LOCAL_FILE: Final = "local_file"
KINDS: Final = (LOCAL_FILE, "online_document", "website_crawl", "online_drive")
_UNTITLED: Final = "untitled"


class DatasourceRef(msgspec.Struct, frozen=True, kw_only=True):
    """A data source as a `datasource` node names it: its kind, its provider, and its name there."""

    kind: str
    plugin_id: str
    provider: str
    name: str

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> DatasourceRef:
        """The source of a node's data."""
        return cls(
            kind=str(data.get("provider_type") or ""),
            plugin_id=str(data.get("plugin_id") or ""),
            provider=str(data.get("provider_name") or ""),
            name=str(data.get("datasource_name") or ""),
        )


class Datasources(Protocol):
    """The data sources that installed plugins offer to one workspace."""

    async def listed(self) -> list[dict[str, Any]]:
        """Every source with its provider, as the console shows them."""
        ...

    def browse(
        self, ref: DatasourceRef, parameters: Mapping[str, Any], *, credential_id: str | None, user_id: str
    ) -> AsyncIterator[dict[str, Any]]:
        """What there is to choose from, as `datasource_processing` and `datasource_completed` events without a name.

        DatasourceNotFound for a source that nothing installed offers, DatasourceCredentialsMissing.
        """
        ...

    async def read(
        self, ref: DatasourceRef, item: Mapping[str, Any], *, credential_id: str | None, user_id: str
    ) -> dict[str, Any]:
        """A chosen item with its content, or with the file that was brought here for it (`related_id`)."""
        ...


async def source_item(kind: str, info: Mapping[str, Any], files: FileService) -> SourceItem:
    """A caller's description of one item, checked: of an uploaded file what is known here, whatever the caller said.

    BadInput for an unknown kind of source and for a file that is not the workspace's.
    """
    if kind not in KINDS:
        raise BadInput(
            f"Unsupported datasource type: {kind}", hint=f"Use one of: {', '.join(KINDS)}.", field="datasource_type"
        )
    if kind != LOCAL_FILE:
        return SourceItem(name=_name(info), info=dict(info))
    upload_id = info.get("related_id") or info.get("upload_file_id") or info.get("id")
    wanted = {"transfer_method": FileTransfer.LOCAL_FILE, "upload_file_id": upload_id}
    file = await files.resolve(wanted)
    known = {
        "related_id": file.related_id,
        "name": file.filename,
        "extension": (file.extension or "").removeprefix("."),
        "mime_type": file.mime_type,
        "size": file.size,
        "type": file.type,
        "transfer_method": FileTransfer.LOCAL_FILE.value,
    }
    return SourceItem(name=file.filename or _UNTITLED, info=msgspec.to_builtins(known), upload_id=file.related_id)


def _name(info: Mapping[str, Any]) -> str:
    page = info.get("page")
    titles = (page.get("page_name") if isinstance(page, dict) else None, info.get("title"), info.get("name"))
    return next((str(title) for title in titles if title), _UNTITLED)
