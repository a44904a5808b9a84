"""Reads documents of websites, online workspaces and drives, for indexing: what `knowledge.remote` asks for."""

from __future__ import annotations

from typing import Any

from dify_kernel.contracts.datasource import DatasourceProvider, DocumentRef
from dify_kernel.errors import BadInput, DatasourceError

from dify_host.datasources.crawls import Crawls
from dify_host.datasources.drive_files import bring
from dify_host.datasources.installed import InstalledDatasources
from dify_host.datasources.pool import documents_of, drive_of, website_of
from dify_host.knowledge.remote import (
    NOTION_IMPORT,
    ONLINE_DRIVE,
    WEBSITE_CRAWL,
    Fetched,
    FetchedFile,
    content_hash,
)

__all__ = ["SourceDocuments", "online_ref"]


class SourceDocuments:
    """`knowledge.remote.RemoteDocuments` of one workspace; a file may have `most_bytes`."""

    def __init__(self, installed: InstalledDatasources, crawls: Crawls, *, most_bytes: int) -> None:
        self._installed, self._crawls, self._most_bytes = installed, crawls, most_bytes

    async def fetch(self, kind: str, info: dict[str, Any], *, unless_unchanged: bool = False) -> Fetched | None:
        """A page of a crawl as the crawl read it, the first time; anew after that. Anything else as it is now."""
        if kind == ONLINE_DRIVE:
            return await self._file(info, unless_unchanged=unless_unchanged)
        if kind == WEBSITE_CRAWL:
            text, more = await self._page(info), {"mode": "scrape"}
        elif kind == NOTION_IMPORT:
            found = await self._document(info, unless_unchanged=unless_unchanged)
            if found is None:
                return None
            text, more = found
        else:
            raise BadInput(f"Documents of source {kind} are not read from outside.")
        known = content_hash(text)
        more |= {"content_hash": known}
        if unless_unchanged and known == info.get("content_hash"):
            return Fetched(is_known=True, info={**info, **more})
        if not text.strip():
            raise DatasourceError("The source has no text in it.", hint="Look at it there, and synchronize it then.")
        return Fetched(text=text, info={**info, **more})

    async def _page(self, info: dict[str, Any]) -> str:
        url = _wanted(info, "url")
        if info.get("mode") == "crawl" and info.get("job_id"):
            kept = await self._crawls.page(str(info["job_id"]), url)
            if kept is not None:
                return kept.content
        provider, credentials = await self._installed.opened(_wanted(info, "provider"))
        main = info.get("only_main_content") is not False
        page = await website_of(provider).read(url, credentials, only_main_content=main)
        return page.content

    async def _document(self, info: dict[str, Any], *, unless_unchanged: bool) -> tuple[str, dict[str, Any]] | None:
        """Text and time; None for a page whose time is the one that is remembered.

        The time of a database does not tell of its rows, so it is read each time.
        """
        provider, credentials = await self._opened(info)
        source, ref = documents_of(provider), online_ref(info)
        known = info.get("last_edited_time")
        if unless_unchanged and known and ref.type == "page" and await source.last_edited(ref, credentials) == known:
            return None
        read = await source.read(ref, credentials)
        return read.content, {"last_edited_time": read.last_edited_time}

    async def _file(self, info: dict[str, Any], *, unless_unchanged: bool) -> Fetched | None:
        """A file of a drive; None for one whose version is remembered, which is not read."""
        provider, credentials = await self._opened(info)
        drive, file_id = drive_of(provider, str(info.get("datasource_name") or "")), _wanted(info, "id")
        bucket, known = str(info.get("bucket") or ""), info.get("version")
        if unless_unchanged and known and await drive.version(file_id, credentials, bucket=bucket) == known:
            return None
        file = await bring(drive, file_id, credentials, bucket=bucket, most_bytes=self._most_bytes)
        digest = content_hash(file.data)
        told = {"size": len(file.data), "mime_type": file.mime_type, "version": file.version, "content_hash": digest}
        if unless_unchanged and digest == info.get("content_hash"):
            return Fetched(is_known=True, info={**info, **told})
        return Fetched(file=FetchedFile(name=file.name, data=file.data), info={**info, **told})

    async def _opened(self, info: dict[str, Any]) -> tuple[DatasourceProvider, Any]:
        """The provider that the credentials of a document are for, with them; NotFound when they are gone."""
        credential_id = _wanted(info, "credential_id")
        name = await self._installed.provider_of(credential_id)
        return await self._installed.opened(name, credential_id)


def online_ref(info: dict[str, Any]) -> DocumentRef:
    """The document that a `data_source_info` names."""
    return DocumentRef(
        workspace_id=str(info.get("notion_workspace_id") or ""),
        page_id=_wanted(info, "notion_page_id"),
        type="database" if info.get("type") == "database" else "page",
    )


def _wanted(info: dict[str, Any], name: str) -> str:
    found = info.get(name)
    if not isinstance(found, str) or not found:
        raise BadInput(f"The document does not say its {name}.", hint="Add it anew.", field=name)
    return found
