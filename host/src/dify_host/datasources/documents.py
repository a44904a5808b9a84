"""Reads documents of websites and online workspaces, for indexing: what `knowledge.remote` asks for."""

from __future__ import annotations

from typing import Any

from dify_kernel.contracts.datasource import DocumentRef
from dify_kernel.errors import BadInput, DatasourceError

from dify_host.datasources.crawls import Crawls
from dify_host.datasources.installed import InstalledDatasources
from dify_host.datasources.pool import documents_of, website_of
from dify_host.knowledge.remote import NOTION_IMPORT, WEBSITE_CRAWL, Fetched, content_hash

__all__ = ["SourceDocuments", "online_ref"]


class SourceDocuments:
    """`knowledge.remote.RemoteDocuments` of one workspace."""

    def __init__(self, installed: InstalledDatasources, crawls: Crawls) -> None:
        self._installed, self._crawls = installed, crawls

    async def fetch(self, kind: str, info: dict[str, Any], *, unless_unchanged: bool = False) -> Fetched | None:
        """A page of a crawl as the crawl read it, the first time; anew after that. An online document as it is now."""
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
        if unless_unchanged and known == info.get("content_hash"):
            return None
        if not text.strip():
            raise DatasourceError("The source has no text in it.", hint="Look at it there, and synchronize it then.")
        return Fetched(text=text, info={**info, **more, "content_hash": known})

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
        credential_id = _wanted(info, "credential_id")
        provider_name = await self._installed.provider_of(credential_id)
        provider, credentials = await self._installed.opened(provider_name, credential_id)
        source, ref = documents_of(provider), online_ref(info)
        known = info.get("last_edited_time")
        if unless_unchanged and known and ref.type == "page" and await source.last_edited(ref, credentials) == known:
            return None
        read = await source.read(ref, credentials)
        return read.content, {"last_edited_time": read.last_edited_time}


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
