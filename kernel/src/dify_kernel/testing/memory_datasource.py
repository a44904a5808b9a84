"""A provider of data sources in memory: the reference of the suites, and something to build the rest of a house on."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final

import msgspec

from dify_kernel.contracts.datasource import (
    CrawlProgress,
    Datasource,
    DatasourceProvider,
    DocumentContent,
    DocumentInfo,
    DocumentRef,
    DocumentWorkspace,
    DriveEntry,
    DriveFile,
    DriveListing,
    OnlineDocument,
    OnlineDrive,
    WebPage,
    WebsiteCrawl,
)
from dify_kernel.contracts.datasource_http import ask_json, checking
from dify_kernel.contracts.http import HttpClient, HttpRequest
from dify_kernel.errors import DatasourceItemNotFound, DatasourceUnauthorized
from dify_kernel.settings import Doc, Secret

__all__ = [
    "DOCUMENTS",
    "FILES",
    "GOOD_KEY",
    "SITE",
    "MemoryCredentials",
    "MemoryDocuments",
    "MemoryDrive",
    "MemoryProvider",
    "MemorySite",
]

GOOD_KEY: Final = "key-of-memory-0001"
#: Address -> (text, addresses that it links to).
SITE: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "https://site.test/": ("Welcome to the site.", ("https://site.test/bees", "https://site.test/ants")),
    "https://site.test/bees": ("Bees dance.", ("https://site.test/ants", "https://site.test/")),
    "https://site.test/ants": ("Ants march.", ("https://site.test/queens",)),
    "https://site.test/queens": ("Queens rule.", ()),
}
#: Id -> (name, text, time of the last edit).
DOCUMENTS: Final[dict[str, tuple[str, str, str]]] = {
    "p1": ("Bees", "# Bees\n\nBees dance.", "2025-01-01T10:00:00.000Z"),
    "p2": ("Ants", "Ants march.", "2025-02-01T10:00:00.000Z"),
}
#: Id, which is a path -> bytes.
FILES: Final[dict[str, bytes]] = {
    "a.txt": b"alpha",
    "b.txt": b"beta" * 30_000,
    "folder/c.txt": b"gamma",
    "folder/deep/d.txt": b"delta",
}


class MemoryCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """One key."""

    api_key: Annotated[Secret, Doc("The key of the memory.")]


def _admit(credentials: MemoryCredentials) -> None:
    if credentials.api_key.reveal() != GOOD_KEY:
        raise DatasourceUnauthorized("The key is not known.", hint="Enter another.")


class MemorySite(WebsiteCrawl):
    """The pages of SITE."""

    name, label, description = "site", "Site", "A website in memory."

    def __init__(self) -> None:
        self.site = dict(SITE)

    async def crawl(self, parameters: Any, credentials: Any) -> AsyncIterator[CrawlProgress]:
        """Breadth first."""
        _admit(credentials)
        waiting, seen, done = [(parameters.url, 0)], {parameters.url}, 0
        while waiting and done < parameters.limit:
            url, depth = waiting.pop(0)
            page = await self.read(url, credentials)
            if parameters.crawl_sub_pages and depth < parameters.max_depth:
                links = [link for link in self.site[url][1] if link not in seen]
                seen.update(links)
                waiting += [(link, depth + 1) for link in links]
            done += 1
            yield CrawlProgress(completed=done, total=min(parameters.limit, done + len(waiting)), pages=[page])

    async def read(self, url: str, credentials: Any, *, only_main_content: bool = True) -> WebPage:
        """One page."""
        _admit(credentials)
        await asyncio.sleep(0)
        if url not in self.site:
            raise DatasourceItemNotFound(f"There is no page {url}.")
        return WebPage(source_url=url, content=self.site[url][0], title=url.rpartition("/")[2])


class MemoryDocuments(OnlineDocument):
    """The documents of DOCUMENTS."""

    name, label, description = "documents", "Documents", "Documents in memory."

    def __init__(self) -> None:
        self.documents = dict(DOCUMENTS)

    async def workspaces(self, parameters: Any, credentials: Any) -> list[DocumentWorkspace]:
        """One workspace."""
        _admit(credentials)
        pages = [
            DocumentInfo(page_id=key, page_name=name, last_edited_time=edited)
            for key, (name, _, edited) in self.documents.items()
        ]
        return [DocumentWorkspace(workspace_id="w", workspace_name="Memory", pages=pages)]

    async def read(self, ref: DocumentRef, credentials: Any) -> DocumentContent:
        """One document."""
        _admit(credentials)
        await asyncio.sleep(0)
        if ref.page_id not in self.documents:
            raise DatasourceItemNotFound(f"There is no document {ref.page_id}.")
        name, text, edited = self.documents[ref.page_id]
        return DocumentContent(page_id=ref.page_id, content=text, title=name, last_edited_time=edited)

    async def last_edited(self, ref: DocumentRef, credentials: Any) -> str:
        """Of one document."""
        return (await self.read(ref, credentials)).last_edited_time


class MemoryDrive(OnlineDrive):
    """The files of FILES."""

    name, label, description = "drive", "Drive", "Files in memory."

    def __init__(self) -> None:
        self.files = dict(FILES)

    async def browse(
        self,
        credentials: Any,
        *,
        bucket: str = "",
        prefix: str = "",
        limit: int = 100,
        next_page: dict[str, Any] | None = None,
    ) -> DriveListing:
        """By name."""
        _admit(credentials)
        start = prefix and prefix.rstrip("/") + "/"
        found: dict[str, DriveEntry] = {}
        for key, data in sorted(self.files.items()):
            head, deeper, _ = key.removeprefix(start).partition("/")
            if key.startswith(start):
                kind: Any = "folder" if deeper else "file"
                size, version = (0, "") if deeper else (len(data), _version(data))
                found[head] = DriveEntry(id=start + head, name=head, type=kind, size=size, version=version)
        begin = int((next_page or {}).get("from", 0))
        entries = list(found.values())
        more = {"from": begin + limit} if begin + limit < len(entries) else None
        return DriveListing(bucket=bucket, files=entries[begin : begin + limit], next_page=more)

    @asynccontextmanager
    async def download(self, file_id: str, credentials: Any, *, bucket: str = "") -> AsyncIterator[DriveFile]:
        """One file."""
        _admit(credentials)
        if file_id not in self.files:
            raise DatasourceItemNotFound(f"There is no file {file_id}.")
        data = self.files[file_id]
        name, chunks = file_id.rpartition("/")[2], _pieces(data)
        yield DriveFile(name=name, mime_type="text/plain", chunks=chunks, size=len(data), version=_version(data))


def _version(data: bytes) -> str:
    return f"{zlib.crc32(data):08x}"


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 65_536):
        await asyncio.sleep(0)
        yield data[start : start + 65_536]


class MemoryProvider(DatasourceProvider):
    """One source of each type."""

    name, label, Credentials = "memory", "Memory", MemoryCredentials

    def __init__(self, http: HttpClient) -> None:
        super().__init__(http)
        self.site, self.documents, self.drive = MemorySite(), MemoryDocuments(), MemoryDrive()

    def datasources(self) -> Sequence[Datasource]:
        """All three."""
        return (self.site, self.documents, self.drive)

    async def check(self, credentials: Any) -> None:
        """By the key, when the memory answers: it is asked over HTTP, as a service would be."""
        with checking():
            await ask_json(self.http, HttpRequest(method="GET", url="https://memory.test/"), "The memory")
            _admit(credentials)
