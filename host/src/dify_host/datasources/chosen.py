"""What pipelines choose from data sources of plugins: lists while they come, and items with their content."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import msgspec
from dify_kernel.contracts.datasource import DocumentRef, DriveListing, OnlineDocument, OnlineDrive, WebsiteCrawl
from dify_kernel.errors import BadInput

from dify_host.datasources.drive_files import bring
from dify_host.datasources.installed import InstalledDatasources
from dify_host.datasources.parameters import parameters_of
from dify_host.datasources.pool import documents_of, drive_of, website_of
from dify_host.files.service import FileService
from dify_host.pipelines.datasources import DatasourceRef

__all__ = ["PluginDatasources", "drive_page"]

_COMPLETED: Final = "datasource_completed"
_PROCESSING: Final = "datasource_processing"


class PluginDatasources:
    """The data sources of installed plugins, as pipelines use them in one workspace."""

    def __init__(self, installed: InstalledDatasources, files: FileService, *, most_bytes: int) -> None:
        self._installed, self._files, self._most_bytes = installed, files, most_bytes

    async def listed(self) -> list[dict[str, Any]]:
        """Every source with its provider."""
        found = []
        for provider in await self._installed.list():
            names = sorted({source.type for source in provider.sources})
            found.append(
                {
                    "plugin_id": provider.distribution,
                    "plugin_unique_identifier": f"{provider.distribution}:{provider.version}",
                    "provider": provider.provider,
                    "is_authorized": provider.status == "ready",
                    "declaration": {
                        "identity": {"name": provider.provider, "label": {"en_US": provider.label}},
                        "provider_type": names[0] if names else "",
                        "credentials_schema": msgspec.to_builtins(provider.fields),
                        "datasources": [_declared(provider.provider, source) for source in provider.sources],
                    },
                }
            )
        return found

    async def browse(
        self, ref: DatasourceRef, parameters: Mapping[str, Any], *, credential_id: str | None, user_id: str
    ) -> AsyncIterator[dict[str, Any]]:
        """The pages of a crawl while it goes on, the documents of every workspace, or one page of a folder."""
        provider, credentials = await self._installed.opened(ref.provider, credential_id)
        if ref.kind == WebsiteCrawl.datasource_type:
            site = website_of(provider, ref.name)
            pages: list[Any] = []
            total = 0
            async for message in site.crawl(parameters_of(site.Parameters, parameters), credentials):
                pages += message.pages
                total = message.total
                yield {"event": _PROCESSING, "total": message.total, "completed": message.completed}
            data = msgspec.to_builtins(pages)
            yield {"event": _COMPLETED, "data": data, "total": total, "completed": len(pages)}
        elif ref.kind == OnlineDocument.datasource_type:
            source = documents_of(provider, ref.name)
            found = await source.workspaces(parameters_of(source.Parameters, parameters), credentials)
            listed = [{**msgspec.to_builtins(item), "total": len(item.pages)} for item in found]
            yield {"event": _COMPLETED, "data": listed, "total": len(listed), "completed": len(listed)}
        else:
            drive = drive_of(provider, ref.name)
            page = await drive.browse(
                credentials,
                bucket=str(parameters.get("bucket") or ""),
                prefix=str(parameters.get("prefix") or ""),
                limit=_limit(parameters.get("max_keys")),
                next_page=_next_page(parameters.get("next_page_parameters")),
            )
            data = drive_page(page)
            yield {"event": _COMPLETED, "data": data, "total": len(data), "completed": len(data)}

    async def read(
        self, ref: DatasourceRef, item: Mapping[str, Any], *, credential_id: str | None, user_id: str
    ) -> dict[str, Any]:
        """The item with its content; a file of a drive is uploaded here. What has its content stays as it is."""
        if "content" in item or item.get("related_id"):
            return dict(item)
        provider, credentials = await self._installed.opened(ref.provider, credential_id)
        if ref.kind == WebsiteCrawl.datasource_type:
            site = website_of(provider, ref.name)
            page = await site.read(_text(item, "source_url", "url"), credentials)
            return {**item, **msgspec.to_builtins(page)}
        if ref.kind == OnlineDocument.datasource_type:
            read = await documents_of(provider, ref.name).read(_document(item), credentials)
            return {**item, "content": read.content, "last_edited_time": read.last_edited_time}
        drive = drive_of(provider, ref.name)
        return {**item, **await self._brought(drive, item, credentials, user_id)}

    async def _brought(
        self, drive: OnlineDrive, item: Mapping[str, Any], credentials: Any, user_id: str
    ) -> dict[str, Any]:
        """A file of a drive among the workspace's uploads."""
        bucket = str(item.get("bucket") or "")
        file = await bring(drive, _text(item, "id"), credentials, bucket=bucket, most_bytes=self._most_bytes)
        kept = await self._files.upload(
            file.data, file.name, file.mime_type, created_by_role="account", created_by=user_id
        )
        return {
            "related_id": kept.id,
            "name": kept.name,
            "extension": kept.extension,
            "mime_type": kept.mime_type,
            "size": kept.size,
            "transfer_method": "local_file",
        }


def drive_page(page: DriveListing) -> list[dict[str, Any]]:
    """A page of a drive as consoles show it: one folder, or a bucket an item where there are buckets to choose from."""
    more = {"is_truncated": page.next_page is not None, "next_page_parameters": page.next_page}
    if page.files and all(entry.type == "bucket" for entry in page.files):
        return [{"bucket": entry.id, "files": [], **more} for entry in page.files]
    return [{"bucket": page.bucket, "files": msgspec.to_builtins(page.files), **more}]


def _declared(provider: str, source: Any) -> dict[str, Any]:
    return {
        "identity": {"name": source.name, "provider": provider, "label": {"en_US": source.label}},
        "description": {"en_US": source.description},
        "parameters": msgspec.to_builtins(source.parameters),
        "provider_type": source.type,
    }


def _document(item: Mapping[str, Any]) -> DocumentRef:
    """The document that an item of a list stands for: flat, or with the document under `page`."""
    page = item.get("page")
    found = {**item, **page} if isinstance(page, dict) else item
    kind = found.get("type")
    return DocumentRef(
        workspace_id=str(found.get("workspace_id") or ""),
        page_id=_text(found, "page_id"),
        type="database" if kind == "database" else "page",
    )


def _text(item: Mapping[str, Any], *names: str) -> str:
    for name in names:
        if isinstance(item.get(name), str) and item[name]:
            return str(item[name])
    raise BadInput(f"The item of the data source has no {names[0]}.", hint="Choose it anew.", field=names[0])


def _next_page(value: Any) -> dict[str, Any] | None:
    if value and not isinstance(value, dict):
        raise BadInput("next_page_parameters is no object.", field="next_page_parameters")
    return value or None


def _limit(value: Any) -> int:
    try:
        return min(max(int(value or 100), 1), 1000)
    except (TypeError, ValueError) as exc:
        raise BadInput("max_keys is no number.", field="max_keys") from exc
