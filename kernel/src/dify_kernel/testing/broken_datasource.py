"""The suites of data sources as the author of the memory provider sets them up, and providers with one fault each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, ClassVar, Final

import msgspec

from dify_kernel.contracts.datasource import (
    CrawlParameters,
    CrawlProgress,
    Datasource,
    DocumentContent,
    DocumentRef,
    DocumentWorkspace,
    DriveFile,
    DriveListing,
    NoParameters,
    WebPage,
)
from dify_kernel.errors import (
    CredentialsValidateFailedError,
    DatasourceError,
    DatasourceItemNotFound,
    DatasourceUnavailable,
)
from dify_kernel.settings import Doc, Secret
from dify_kernel.testing.datasource import (
    CrawlExample,
    DatasourceProviderSuite,
    DocumentExample,
    OnlineDocumentSuite,
    OnlineDriveSuite,
    WebsiteCrawlSuite,
)
from dify_kernel.testing.honesty import ContractSuite
from dify_kernel.testing.memory_datasource import (
    DOCUMENTS,
    FILES,
    GOOD_KEY,
    SITE,
    MemoryCredentials,
    MemoryDocuments,
    MemoryDrive,
    MemoryProvider,
    MemorySite,
)

__all__ = ["BROKEN_DATASOURCES", "DocumentsSuite", "DriveSuite", "ProviderSuite", "SiteSuite"]

_HOME: Final = "https://site.test/"
_GOOD: Final = MemoryCredentials(api_key=Secret(GOOD_KEY))


class ProviderSuite(DatasourceProviderSuite):
    """The memory provider."""


class SiteSuite(WebsiteCrawlSuite):
    """Its site."""

    source: ClassVar[str] = "site"
    examples: ClassVar[Sequence[CrawlExample]] = [
        CrawlExample(parameters={"url": _HOME}, pages={url: text for url, (text, _) in SITE.items()}),
        CrawlExample(parameters={"url": f"{_HOME}bees", "max_depth": 0}, pages={f"{_HOME}bees": "Bees dance."}),
        CrawlExample(parameters={"url": f"{_HOME}wasps"}, error="no page"),
    ]
    gone: ClassVar[str] = f"{_HOME}wasps"


class DocumentsSuite(OnlineDocumentSuite):
    """Its documents."""

    source: ClassVar[str] = "documents"
    examples: ClassVar[Sequence[DocumentExample]] = [
        DocumentExample(ref=DocumentRef(workspace_id="w", page_id=key), name=name, text=text)
        for key, (name, text, _) in DOCUMENTS.items()
    ]
    gone: ClassVar[DocumentRef] = DocumentRef(workspace_id="w", page_id="p9")


class DriveSuite(OnlineDriveSuite):
    """Its drive."""

    source: ClassVar[str] = "drive"
    files: ClassVar[dict[str, bytes]] = FILES
    gone: ClassVar[str] = "z.txt"


# -- the provider --------------------------------------------------------------------------------------------


class _NoName(MemoryProvider):
    name = "My Memory"


class _NameTwice(MemoryProvider):
    def datasources(self) -> Sequence[Datasource]:
        return (self.site, self.site)


class _BareCredentials(msgspec.Struct, frozen=True, kw_only=True):
    api_key: Secret


class _NoDoc(MemoryProvider):
    Credentials = _BareCredentials  # type: ignore[assignment]


class _RefusesAll(MemoryProvider):
    async def check(self, credentials: Any) -> None:
        raise CredentialsValidateFailedError("No.")


class _TakesAll(MemoryProvider):
    async def check(self, credentials: Any) -> None:
        pass


class _RepeatsTheKey(MemoryProvider):
    async def check(self, credentials: Any) -> None:
        try:
            await super().check(credentials)
        except CredentialsValidateFailedError as exc:
            raise CredentialsValidateFailedError(f"{credentials.api_key.reveal()} is wrong.") from exc


class _AwayIsWrong(MemoryProvider):
    async def check(self, credentials: Any) -> None:
        try:
            await super().check(credentials)
        except DatasourceUnavailable as exc:
            raise CredentialsValidateFailedError(exc.message) from exc


class _ForbiddenIsAway(MemoryProvider):
    async def check(self, credentials: Any) -> None:
        try:
            await super().check(credentials)
        except CredentialsValidateFailedError as exc:
            raise DatasourceUnavailable(exc.message) from exc


# -- the site ------------------------------------------------------------------------------------------------


class _Site(MemorySite):
    """Changes what the messages say."""

    async def crawl(self, parameters: Any, credentials: Any) -> AsyncIterator[CrawlProgress]:
        async for message in super().crawl(parameters, credentials):
            for changed in self.changed(message):
                yield changed

    def changed(self, message: CrawlProgress) -> Sequence[CrawlProgress]:
        return [message]


class _LosesAPage(_Site):
    def changed(self, message: CrawlProgress) -> Sequence[CrawlProgress]:
        return [message] if message.completed != 2 else []


class _CountsTooMuch(_Site):
    def changed(self, message: CrawlProgress) -> Sequence[CrawlProgress]:
        return [msgspec.structs.replace(message, completed=message.completed + 1)]


class _RepeatsAPage(_Site):
    def changed(self, message: CrawlProgress) -> Sequence[CrawlProgress]:
        return [message, message]


class _ShortAddress(_Site):
    def changed(self, message: CrawlProgress) -> Sequence[CrawlProgress]:
        (page,) = message.pages
        return [msgspec.structs.replace(message, pages=[msgspec.structs.replace(page, source_url="/bees")])]


class _Endless(MemorySite):
    async def crawl(self, parameters: Any, credentials: Any) -> AsyncIterator[CrawlProgress]:
        more = CrawlParameters(**{**msgspec.structs.asdict(parameters), "limit": 10})
        async for message in super().crawl(more, credentials):
            yield message


class _FollowsAlways(MemorySite):
    async def crawl(self, parameters: Any, credentials: Any) -> AsyncIterator[CrawlProgress]:
        more = CrawlParameters(**{**msgspec.structs.asdict(parameters), "crawl_sub_pages": True})
        async for message in super().crawl(more, credentials):
            yield message


class _Quiet(MemorySite):
    """Says that what is gone is empty."""

    async def read(self, url: str, credentials: Any, *, only_main_content: bool = True) -> WebPage:
        try:
            return await super().read(url, credentials)
        except DatasourceItemNotFound:
            return WebPage(source_url=url, content="")

    async def crawl(self, parameters: Any, credentials: Any) -> AsyncIterator[CrawlProgress]:
        if parameters.url in self.site:
            async for message in super().crawl(parameters, credentials):
                yield message


class _AnotherPage(MemorySite):
    async def read(self, url: str, credentials: Any, *, only_main_content: bool = True) -> WebPage:
        page = await super().read(url, credentials)
        return msgspec.structs.replace(page, content=page.content[:3])


class _OneCrawl(MemorySite):
    """Keeps where it is on itself."""

    async def crawl(self, parameters: Any, credentials: Any) -> AsyncIterator[CrawlProgress]:
        self.parameters = parameters
        await self.read(parameters.url, credentials)
        async for message in super().crawl(self.parameters, credentials):
            yield message


class _ReadsForAll(MemorySite):
    """Asks for the key of a crawl alone."""

    async def read(self, url: str, credentials: Any, *, only_main_content: bool = True) -> WebPage:
        return await super().read(url, _GOOD)


class _CrawlsForAll(MemorySite):
    async def crawl(self, parameters: Any, credentials: Any) -> AsyncIterator[CrawlProgress]:
        async for message in super().crawl(parameters, _GOOD):
            yield message


class _SpentByLeaving(MemorySite):
    async def crawl(self, parameters: Any, credentials: Any) -> AsyncIterator[CrawlProgress]:
        if self.site.get("left"):
            raise DatasourceError("Busy.")
        self.site["left"] = ("x", ())
        async for message in super().crawl(parameters, credentials):
            yield message
        del self.site["left"]


# -- the documents -------------------------------------------------------------------------------------------


class _FirstPageOnly(MemoryDocuments):
    async def workspaces(self, parameters: Any, credentials: Any) -> list[DocumentWorkspace]:
        (found,) = await super().workspaces(parameters, credentials)
        return [msgspec.structs.replace(found, pages=found.pages[:1])]


class _NoTime(MemoryDocuments):
    async def last_edited(self, ref: DocumentRef, credentials: Any) -> str:
        await super().last_edited(ref, credentials)
        return "now"


class _CutText(MemoryDocuments):
    async def read(self, ref: DocumentRef, credentials: Any) -> DocumentContent:
        content = await super().read(ref, credentials)
        return msgspec.structs.replace(content, content=content.content[:4])


class _EmptyForGone(MemoryDocuments):
    async def read(self, ref: DocumentRef, credentials: Any) -> DocumentContent:
        try:
            return await super().read(ref, credentials)
        except DatasourceItemNotFound:
            return DocumentContent(page_id=ref.page_id, content="")


class _OneReader(MemoryDocuments):
    ref: DocumentRef

    async def read(self, ref: DocumentRef, credentials: Any) -> DocumentContent:
        self.ref = ref
        await super().read(ref, credentials)
        return await super().read(self.ref, credentials)


class _ListsForAll(MemoryDocuments):
    async def workspaces(self, parameters: Any, credentials: Any) -> list[DocumentWorkspace]:
        return await super().workspaces(parameters, _GOOD)


# -- the drive -----------------------------------------------------------------------------------------------


class _NoMorePages(MemoryDrive):
    async def browse(self, credentials: Any, **wish: Any) -> DriveListing:
        return msgspec.structs.replace(await super().browse(credentials, **wish), next_page=None)


class _CutFile(MemoryDrive):
    @asynccontextmanager
    async def download(self, file_id: str, credentials: Any, *, bucket: str = "") -> AsyncIterator[DriveFile]:
        async with super().download(file_id, credentials, bucket=bucket) as file:
            yield msgspec.structs.replace(file, chunks=_first(file.chunks))


async def _first(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        yield chunk
        return


class _EmptyFile(MemoryDrive):
    @asynccontextmanager
    async def download(self, file_id: str, credentials: Any, *, bucket: str = "") -> AsyncIterator[DriveFile]:
        known = file_id if file_id in self.files else "a.txt"
        async with super().download(known, credentials, bucket=bucket) as file:
            yield file


class _BrowsedByAll(MemoryDrive):
    async def browse(self, credentials: Any, **wish: Any) -> DriveListing:
        return await super().browse(_GOOD, **wish)


class _NoSize(MemoryDrive):
    async def browse(self, credentials: Any, **wish: Any) -> DriveListing:
        listing = await super().browse(credentials, **wish)
        return msgspec.structs.replace(listing, files=[msgspec.structs.replace(item, size=1) for item in listing.files])


class _AllBuckets(MemoryDrive):
    async def browse(self, credentials: Any, **wish: Any) -> DriveListing:
        listing = await super().browse(credentials, **wish)
        buckets = [msgspec.structs.replace(item, type="bucket") for item in listing.files]
        return msgspec.structs.replace(listing, files=buckets)


class _OneVersion(MemoryDrive):
    async def version(self, file_id: str, credentials: Any, *, bucket: str = "") -> str:
        await super().version(file_id, credentials, bucket=bucket)
        return "1"


class _LeftOpen(MemoryDrive):
    """A file that was not read to its end goes on where it was left."""

    def __init__(self) -> None:
        super().__init__()
        self.left: dict[str, AsyncIterator[bytes]] = {}

    @asynccontextmanager
    async def download(self, file_id: str, credentials: Any, *, bucket: str = "") -> AsyncIterator[DriveFile]:
        async with super().download(file_id, credentials, bucket=bucket) as file:
            chunks = self.left.setdefault(file_id, file.chunks)
            yield msgspec.structs.replace(file, chunks=chunks)


class _OneDownload(MemoryDrive):
    """Keeps which file it is on itself."""

    file_id: str

    @asynccontextmanager
    async def download(self, file_id: str, credentials: Any, *, bucket: str = "") -> AsyncIterator[DriveFile]:
        self.file_id = file_id
        async with super().download(file_id, credentials, bucket=bucket) as file:
            yield msgspec.structs.replace(file, chunks=self.later())

    async def later(self) -> AsyncIterator[bytes]:
        await asyncio.sleep(0)
        yield self.files[self.file_id]


class _VersionForAll(MemoryDrive):
    async def version(self, file_id: str, credentials: Any, *, bucket: str = "") -> str:
        return await super().version(file_id, _GOOD, bucket=bucket)


class _VersionOfNothing(MemoryDrive):
    async def version(self, file_id: str, credentials: Any, *, bucket: str = "") -> str:
        return await super().version(file_id, credentials, bucket=bucket) if file_id in self.files else ""


def _with(**sources: type[Datasource]) -> type[MemoryProvider]:
    class Provider(MemoryProvider):
        def __init__(self, http: Any) -> None:
            super().__init__(http)
            for name, source in sources.items():
                setattr(self, name, source())

    return Provider


class _ShyParameters(NoParameters, frozen=True, kw_only=True):
    key: str = ""
    filled: Annotated[str, Doc("Filled.")] = ""


class _Shy(MemoryDocuments):
    Parameters = _ShyParameters


#: Each flaw: the provider, the suite, and a test of it that must fail.
BROKEN_DATASOURCES: Final[dict[str, tuple[type[MemoryProvider], type[ContractSuite], str]]] = {
    "no name": (_NoName, ProviderSuite, "test_has_a_name_and_a_label"),
    "a name twice": (_NameTwice, ProviderSuite, "test_every_source_is_described"),
    "no doc": (_NoDoc, ProviderSuite, "test_the_forms_can_be_shown"),
    "a parameter without doc": (_with(documents=_Shy), ProviderSuite, "test_the_forms_can_be_shown"),
    "refuses all": (_RefusesAll, ProviderSuite, "test_good_credentials_pass"),
    "takes all": (_TakesAll, ProviderSuite, "test_wrong_credentials_are_refused"),
    "repeats the key": (_RepeatsTheKey, ProviderSuite, "test_wrong_credentials_are_refused"),
    "away is wrong": (_AwayIsWrong, ProviderSuite, "test_a_service_that_is_away_is_no_refusal"),
    "forbidden is away": (
        _ForbiddenIsAway,
        ProviderSuite,
        "test_an_address_that_may_not_be_reached_is_refused",
    ),
    "loses a page": (_with(site=_LosesAPage), SiteSuite, "test_finds_the_pages_of_the_examples"),
    "silent about errors": (_with(site=_Quiet), SiteSuite, "test_fails_as_the_examples_say"),
    "counts too much": (_with(site=_CountsTooMuch), SiteSuite, "test_progress_adds_up"),
    "repeats a page": (_with(site=_RepeatsAPage), SiteSuite, "test_pages_are_whole"),
    "short address": (_with(site=_ShortAddress), SiteSuite, "test_pages_are_whole"),
    "endless": (_with(site=_Endless), SiteSuite, "test_keeps_the_limit"),
    "follows always": (_with(site=_FollowsAlways), SiteSuite, "test_reads_the_first_page_alone"),
    "reads half": (_with(site=_AnotherPage), SiteSuite, "test_reads_one_page_again"),
    "gone is empty": (_with(site=_Quiet), SiteSuite, "test_a_page_that_is_gone_is_told"),
    "reads for all": (_with(site=_ReadsForAll), SiteSuite, "test_a_refusal_is_told"),
    "crawls for all": (_with(site=_CrawlsForAll), SiteSuite, "test_a_refusal_is_told"),
    "spent by leaving": (_with(site=_SpentByLeaving), SiteSuite, "test_can_be_left_early"),
    "one crawl": (_with(site=_OneCrawl), SiteSuite, "test_crawls_at_once_are_kept_apart"),
    "first page only": (_with(documents=_FirstPageOnly), DocumentsSuite, "test_lists_each_document_once"),
    "cut text": (_with(documents=_CutText), DocumentsSuite, "test_reads_every_document"),
    "no time": (_with(documents=_NoTime), DocumentsSuite, "test_tells_the_last_edit"),
    "empty for gone": (_with(documents=_EmptyForGone), DocumentsSuite, "test_a_document_that_is_gone_is_told"),
    "lists for all": (_with(documents=_ListsForAll), DocumentsSuite, "test_a_refusal_is_told"),
    "one reader": (_with(documents=_OneReader), DocumentsSuite, "test_reads_at_once_are_kept_apart"),
    "no more pages": (_with(drive=_NoMorePages), DriveSuite, "test_browsing_comes_to_every_file_once"),
    "cut file": (_with(drive=_CutFile), DriveSuite, "test_downloads_every_file"),
    "browsed by all": (_with(drive=_BrowsedByAll), DriveSuite, "test_a_refusal_is_told"),
    "no size": (_with(drive=_NoSize), DriveSuite, "test_entries_are_described"),
    "all buckets": (_with(drive=_AllBuckets), DriveSuite, "test_buckets_are_listed_when_none_is_named"),
    "one version": (_with(drive=_OneVersion), DriveSuite, "test_a_version_is_the_same_wherever_it_is_told"),
    "left open": (_with(drive=_LeftOpen), DriveSuite, "test_a_file_can_be_left_early"),
    "one download": (_with(drive=_OneDownload), DriveSuite, "test_downloads_at_once_are_kept_apart"),
    "version for all": (_with(drive=_VersionForAll), DriveSuite, "test_a_refusal_is_told"),
    "version of nothing": (_with(drive=_VersionOfNothing), DriveSuite, "test_a_file_that_is_gone_is_told"),
    "empty file": (_with(drive=_EmptyFile), DriveSuite, "test_a_file_that_is_gone_is_told"),
}
