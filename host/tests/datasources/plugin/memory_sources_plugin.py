"""A plugin of the tests: the sources in memory, whose content tests change; `FAILURES` are raised once each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from dify_kernel.contracts.datasource import (
    CrawlProgress,
    DocumentContent,
    DocumentRef,
    DriveFile,
    DriveListing,
    WebPage,
)
from dify_kernel.hookspecs import hookimpl
from dify_kernel.testing.fakes import FakeHttp
from dify_kernel.testing.memory_datasource import (
    DOCUMENTS,
    FILES,
    SITE,
    MemoryDocuments,
    MemoryDrive,
    MemoryProvider,
    MemorySite,
)

PAGES: dict[str, tuple[str, tuple[str, ...]]] = {}
TEXTS: dict[str, tuple[str, str, str]] = {}
DRIVE: dict[str, bytes] = {}
TOUCHED: dict[str, str] = {}
FAILURES: list[Exception] = []
READ: list[str] = []


def reset() -> None:
    """As at first."""
    for held, first in ((PAGES, SITE), (TEXTS, DOCUMENTS), (DRIVE, FILES)):
        held.clear()
        held.update(first)  # type: ignore[attr-defined]
    FAILURES.clear()
    TOUCHED.clear()
    READ.clear()


def fail() -> None:
    if FAILURES:
        raise FAILURES.pop(0)


class Site(MemorySite):
    def __init__(self) -> None:
        self.site = PAGES

    async def crawl(self, parameters: Any, credentials: Any) -> AsyncIterator[CrawlProgress]:
        fail()
        async for message in super().crawl(parameters, credentials):
            yield message

    async def read(self, url: str, credentials: Any, *, only_main_content: bool = True) -> WebPage:
        READ.append(url)
        fail()
        return await super().read(url, credentials)


class Documents(MemoryDocuments):
    def __init__(self) -> None:
        self.documents = TEXTS

    async def read(self, ref: DocumentRef, credentials: Any) -> DocumentContent:
        READ.append(ref.page_id)
        fail()
        return await super().read(ref, credentials)

    async def last_edited(self, ref: DocumentRef, credentials: Any) -> str:
        return (await MemoryDocuments.read(self, ref, credentials)).last_edited_time


class Drive(MemoryDrive):
    def __init__(self) -> None:
        self.files = DRIVE

    async def browse(self, credentials: Any, **wish: Any) -> DriveListing:
        fail()
        return await super().browse(credentials, **wish)

    @asynccontextmanager
    async def download(self, file_id: str, credentials: Any, *, bucket: str = "") -> AsyncIterator[DriveFile]:
        READ.append(file_id)
        fail()
        async with super().download(file_id, credentials, bucket=bucket) as file:
            yield msgspec.structs.replace(file, version=file.version + TOUCHED.get(file_id, ""))

    async def version(self, file_id: str, credentials: Any, *, bucket: str = "") -> str:
        async with MemoryDrive.download(self, file_id, credentials, bucket=bucket) as file:
            return file.version + TOUCHED.get(file_id, "")


class Sources(MemoryProvider):
    def __init__(self, http: Any) -> None:
        super().__init__(FakeHttp())
        self.site, self.documents, self.drive = Site(), Documents(), Drive()


@hookimpl
def register_datasources(register: Callable[..., None]) -> None:
    register(Sources)
