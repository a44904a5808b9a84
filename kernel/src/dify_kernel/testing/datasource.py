"""The conformance suites of data sources: one for the provider, and one for each type of source that it offers.

class TestProvider(DatasourceProviderSuite):
    @pytest.fixture
    def provider(self):                    # over a simulator: MyProvider(FakeHttp({...})), or a server on loopback
        return MyProvider(FakeHttp())

    @pytest.fixture
    def credentials(self):                 # an instance of its Credentials that works
        return MyCredentials()

    @pytest.fixture
    def wrong_credentials(self):           # one that is refused; None where there is nothing to refuse
        return None

class TestSite(WebsiteCrawlSuite):         # the same fixtures
    source = "crawl"
    examples = [CrawlExample(parameters={"url": "https://a.test/"}, pages={"https://a.test/": "Welcome"})]
    gone = "https://a.test/gone"

`testing.loopback` serves a simulated service. A source that has a service crawl takes `ServiceCrawlSuite` of
`testing.datasource_service` in place of `WebsiteCrawlSuite`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import msgspec
import pytest

from dify_kernel.contracts.datasource import (
    CrawlProgress,
    Datasource,
    DatasourceProvider,
    DocumentRef,
    DriveEntry,
    OnlineDocument,
    OnlineDrive,
    WebPage,
    WebsiteCrawl,
)
from dify_kernel.contracts.http import HttpRequest, HttpResponse, HttpTimeout
from dify_kernel.errors import (
    CredentialsValidateFailedError,
    DatasourceError,
    DatasourceItemNotFound,
    DatasourceUnauthorized,
    DatasourceUnavailable,
    DifyError,
    OutboundRefused,
)
from dify_kernel.forms import form_fields, needs_nothing, revealed
from dify_kernel.testing.fakes import FakeHttp
from dify_kernel.testing.honesty import ContractSuite

__all__ = [
    "CrawlExample",
    "DatasourceProviderSuite",
    "DocumentExample",
    "OnlineDocumentSuite",
    "OnlineDriveSuite",
    "WebsiteCrawlSuite",
    "crawled",
    "pages_of",
]

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_TYPES = {"website_crawl": WebsiteCrawl, "online_document": OnlineDocument, "online_drive": OnlineDrive}


@dataclass(frozen=True, kw_only=True)
class CrawlExample:
    """One crawl: these pages and a piece of each one's text, or a DatasourceError whose text has `error` in it."""

    parameters: Mapping[str, Any]
    pages: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None
    retryable: bool = False


@dataclass(frozen=True, kw_only=True)
class DocumentExample:
    """A document that can be read, and a piece of its text."""

    ref: DocumentRef
    name: str
    text: str


class DatasourceProviderSuite(ContractSuite, suite=True):
    """What every provider owes the host."""

    def test_has_a_name_and_a_label(self, provider: DatasourceProvider) -> None:
        """Troubleshooting: `name` is the entry point's: lower case, digits, `-` and `_`."""
        assert _NAME.fullmatch(provider.name)
        assert provider.label.strip()

    def test_every_source_is_described(self, provider: DatasourceProvider) -> None:
        sources = provider.datasources()
        assert sources
        assert len({source.name for source in sources}) == len(sources)
        for source in sources:
            assert _NAME.fullmatch(source.name)
            assert source.label.strip()
            assert source.description.strip()
            kind = source.datasource_type
            assert isinstance(source, _TYPES.get(kind, type(None))), f"{source.name} is no {kind}"

    def test_the_forms_can_be_shown(self, provider: DatasourceProvider) -> None:
        """Troubleshooting: every field needs a `Doc`, as the console draws its forms from them."""
        for struct in (provider.Credentials, *(source.Parameters for source in provider.datasources())):
            for item in form_fields(struct):
                assert item.help, f"{struct.__name__}.{item.variable} has no Doc"
                msgspec.json.encode(item)

    async def test_good_credentials_pass(self, provider: DatasourceProvider, credentials: Any) -> None:
        await provider.check(credentials)

    async def test_wrong_credentials_are_refused(self, provider: DatasourceProvider, wrong_credentials: Any) -> None:
        """Troubleshooting: a refusal is CredentialsValidateFailedError, and does not repeat the key."""
        if wrong_credentials is None:
            assert needs_nothing(provider.Credentials), "there are credentials that can be wrong"
            return
        with pytest.raises(CredentialsValidateFailedError) as caught:
            await provider.check(wrong_credentials)
        _assert_untold(caught.value, wrong_credentials)

    async def test_a_service_that_is_away_is_no_refusal(self, provider: DatasourceProvider, credentials: Any) -> None:
        """Troubleshooting: `check` lets DatasourceUnavailable through, as `contracts.datasource_http.checking` does."""
        if needs_nothing(provider.Credentials):
            return
        for answer in (HttpTimeout("It took too long."), HttpResponse(status=503, headers=[], content=b"")):
            with pytest.raises(DatasourceUnavailable):
                await type(provider)(_OneAnswer(answer)).check(credentials)

    async def test_an_address_that_may_not_be_reached_is_refused(
        self, provider: DatasourceProvider, credentials: Any
    ) -> None:
        """Troubleshooting: that the host's guard refuses an address is no fault of the service, and does not pass."""
        if needs_nothing(provider.Credentials):
            return
        with pytest.raises(CredentialsValidateFailedError, match="not public"):
            await type(provider)(_OneAnswer(OutboundRefused("127.0.0.1 is not public."))).check(credentials)


class WebsiteCrawlSuite(ContractSuite, suite=True):
    """What every website source owes the host."""

    source: ClassVar[str]
    examples: ClassVar[Sequence[CrawlExample]]
    #: The address of a page that the site does not have.
    gone: ClassVar[str]

    async def test_finds_the_pages_of_the_examples(self, provider: DatasourceProvider, credentials: Any) -> None:
        for example, source in self._good(provider):
            pages = pages_of(await crawled(source, credentials, **example.parameters))
            assert {page.source_url for page in pages} == set(example.pages), example
            for page in pages:
                assert example.pages[page.source_url] in page.content, page

    async def test_fails_as_the_examples_say(self, provider: DatasourceProvider, credentials: Any) -> None:
        """Troubleshooting: a site that is busy or away is `retryable`, one that refuses is not."""
        source = _website(provider, self.source)
        for example in self.examples:
            if example.error is not None:
                with pytest.raises(DatasourceError) as caught:
                    await crawled(source, credentials, **example.parameters)
                assert example.error in str(caught.value), example
                assert caught.value.retryable is example.retryable, example

    async def test_progress_adds_up(self, provider: DatasourceProvider, credentials: Any) -> None:
        for example, source in self._good(provider):
            before = 0
            messages = await crawled(source, credentials, **example.parameters)
            for number, message in enumerate(messages, 1):
                assert before <= message.completed <= message.total, message
                assert message.completed == len(pages_of(messages[:number])), message
                before = message.completed

    async def test_pages_are_whole(self, provider: DatasourceProvider, credentials: Any) -> None:
        """Troubleshooting: an address is absolute and comes once; leave a page without text out."""
        for example, source in self._good(provider):
            pages = pages_of(await crawled(source, credentials, **example.parameters))
            assert len({page.source_url for page in pages}) == len(pages)
            for page in pages:
                assert re.match(r"https?://[^/\s]+", page.source_url), page
                assert page.content.strip(), page

    async def test_keeps_the_limit(self, provider: DatasourceProvider, credentials: Any) -> None:
        for example, source in self._good(provider):
            messages = await crawled(source, credentials, **{**example.parameters, "limit": 1})
            assert len(pages_of(messages)) == 1, example
            assert messages[-1].total == 1, example

    async def test_reads_the_first_page_alone(self, provider: DatasourceProvider, credentials: Any) -> None:
        for example, source in self._good(provider):
            alone = {**example.parameters, "crawl_sub_pages": False}
            (page,) = pages_of(await crawled(source, credentials, **alone))
            assert page.source_url in example.pages, example

    async def test_reads_one_page_again(self, provider: DatasourceProvider, credentials: Any) -> None:
        for example, source in self._good(provider):
            for url, text in example.pages.items():
                page = await source.read(url, credentials)
                assert page.source_url == url
                assert text in page.content

    async def test_a_page_that_is_gone_is_told(self, provider: DatasourceProvider, credentials: Any) -> None:
        with pytest.raises(DatasourceItemNotFound):
            await _website(provider, self.source).read(self.gone, credentials)

    async def test_a_refusal_is_told(self, provider: DatasourceProvider, wrong_credentials: Any) -> None:
        """Troubleshooting: wrong credentials are DatasourceUnauthorized, whatever is asked with them."""
        if wrong_credentials is None:
            return
        example, source = self._good(provider)[0]
        with _refused(wrong_credentials):
            await source.read(next(iter(example.pages)), wrong_credentials)
        with _refused(wrong_credentials):
            await crawled(source, wrong_credentials, **example.parameters)

    async def test_can_be_left_early(self, provider: DatasourceProvider, credentials: Any) -> None:
        for example, source in self._good(provider):
            messages = source.crawl(source.Parameters(**example.parameters), credentials)
            async for _ in messages:
                break
            await messages.aclose()  # type: ignore[attr-defined]
            assert pages_of(await crawled(source, credentials, **example.parameters))

    async def test_crawls_at_once_are_kept_apart(self, provider: DatasourceProvider, credentials: Any) -> None:
        """Troubleshooting: one object serves everybody; keep nothing of a call in it."""
        wanted = self._good(provider) * 3
        crawls = [crawled(source, credentials, **example.parameters) for example, source in wanted]
        for (example, _), messages in zip(wanted, await asyncio.gather(*crawls), strict=True):
            assert {page.source_url for page in pages_of(messages)} == set(example.pages), example

    def _good(self, provider: DatasourceProvider) -> list[tuple[CrawlExample, WebsiteCrawl]]:
        source = _website(provider, self.source)
        found = [(example, source) for example in self.examples if example.error is None]
        assert found, "give an example that succeeds"
        return found


class OnlineDocumentSuite(ContractSuite, suite=True):
    """What every source of online documents owes the host."""

    source: ClassVar[str]
    examples: ClassVar[Sequence[DocumentExample]]
    #: A document that cannot be read.
    gone: ClassVar[DocumentRef]

    async def test_lists_each_document_once(self, provider: DatasourceProvider, credentials: Any) -> None:
        """Troubleshooting: services answer in pages; ask until there are no more."""
        listed = await self._listed(provider, credentials)
        names = {ref: info.page_name for ref, info in listed}
        assert len(names) == len(listed)
        assert names == {example.ref: example.name for example in self.examples}

    async def test_reads_every_document(self, provider: DatasourceProvider, credentials: Any) -> None:
        source = _documents(provider, self.source)
        for example in self.examples:
            content = await source.read(example.ref, credentials)
            assert content.page_id == example.ref.page_id
            assert example.text in content.content
            assert content.title == example.name

    async def test_tells_the_last_edit(self, provider: DatasourceProvider, credentials: Any) -> None:
        """Troubleshooting: the list, the document and `last_edited` say the same text, so that a sync can compare."""
        source = _documents(provider, self.source)
        for ref, info in await self._listed(provider, credentials):
            assert info.last_edited_time
            assert info.last_edited_time == await source.last_edited(ref, credentials)
            assert info.last_edited_time == (await source.read(ref, credentials)).last_edited_time

    async def test_a_document_that_is_gone_is_told(self, provider: DatasourceProvider, credentials: Any) -> None:
        source = _documents(provider, self.source)
        for ask in (source.read, source.last_edited):
            with pytest.raises(DatasourceItemNotFound):
                await ask(self.gone, credentials)

    async def test_a_refusal_is_told(self, provider: DatasourceProvider, wrong_credentials: Any) -> None:
        """Troubleshooting: wrong credentials are DatasourceUnauthorized, whatever is asked with them."""
        if wrong_credentials is None:
            return
        source, ref = _documents(provider, self.source), self.examples[0].ref
        with _refused(wrong_credentials):
            await source.workspaces(source.Parameters(), wrong_credentials)
        with _refused(wrong_credentials):
            await source.read(ref, wrong_credentials)
        with _refused(wrong_credentials):
            await source.last_edited(ref, wrong_credentials)

    async def test_reads_at_once_are_kept_apart(self, provider: DatasourceProvider, credentials: Any) -> None:
        source = _documents(provider, self.source)
        wanted = list(self.examples) * 3
        contents = await asyncio.gather(*[source.read(example.ref, credentials) for example in wanted])
        for example, content in zip(wanted, contents, strict=True):
            assert example.text in content.content

    async def _listed(self, provider: DatasourceProvider, credentials: Any) -> list[tuple[DocumentRef, Any]]:
        source = _documents(provider, self.source)
        found = await source.workspaces(source.Parameters(), credentials)
        return [
            (DocumentRef(workspace_id=workspace.workspace_id, page_id=info.page_id, type=info.type), info)
            for workspace in found
            for info in workspace.pages
        ]


class OnlineDriveSuite(ContractSuite, suite=True):
    """What every online drive owes the host. The drive has more than one file at its top, and a folder."""

    source: ClassVar[str]
    bucket: ClassVar[str] = ""
    #: Id -> bytes of every file below `bucket`.
    files: ClassVar[Mapping[str, bytes]]
    #: The id of a file that is not there.
    gone: ClassVar[str]

    async def test_browsing_comes_to_every_file_once(self, provider: DatasourceProvider, credentials: Any) -> None:
        """Troubleshooting: with `limit=1` every entry is a page of its own; an entry is on one page only."""
        for limit in (1, 2, 100):
            found = await self._walk(provider, credentials, "", limit)
            assert sorted(entry.id for entry in found) == sorted(self.files), limit

    async def test_downloads_every_file(self, provider: DatasourceProvider, credentials: Any) -> None:
        drive = _drive(provider, self.source)
        for file_id, data in self.files.items():
            assert await self._read(drive, file_id, credentials) == data
            async with drive.download(file_id, credentials, bucket=self.bucket) as file:
                assert file.size in (None, len(data))
                assert file.name
                assert re.fullmatch(r"[\w.+-]+/[\w.+-]+", file.mime_type)

    async def test_entries_are_described(self, provider: DatasourceProvider, credentials: Any) -> None:
        """Troubleshooting: a name has no folder in it, and a file's is the same when it is fetched."""
        drive = _drive(provider, self.source)
        for entry in await self._walk(provider, credentials, "", 100):
            assert entry.size == len(self.files[entry.id]), entry
            async with drive.download(entry.id, credentials, bucket=self.bucket) as file:
                assert file.name == entry.name
            assert "/" not in entry.name

    async def test_buckets_are_listed_when_none_is_named(self, provider: DatasourceProvider, credentials: Any) -> None:
        """Troubleshooting: `bucket` is the type of buckets alone, and every other entry is in one."""
        top = (await _drive(provider, self.source).browse(credentials, limit=1000)).files
        buckets = [entry.id for entry in top if entry.type == "bucket"]
        assert (self.bucket in buckets) if self.bucket else not buckets
        assert not self.bucket or len(buckets) == len(top)

    async def test_a_version_is_the_same_wherever_it_is_told(
        self, provider: DatasourceProvider, credentials: Any
    ) -> None:
        """Troubleshooting: the list, the file and `version` say the same text, so that a sync can compare."""
        drive = _drive(provider, self.source)
        for entry in await self._walk(provider, credentials, "", 100):
            assert entry.version
            assert await drive.version(entry.id, credentials, bucket=self.bucket) == entry.version
            async with drive.download(entry.id, credentials, bucket=self.bucket) as file:
                assert file.version == entry.version

    async def test_a_file_can_be_left_early(self, provider: DatasourceProvider, credentials: Any) -> None:
        drive = _drive(provider, self.source)
        for file_id, data in self.files.items():
            async with drive.download(file_id, credentials, bucket=self.bucket) as file:
                await anext(file.chunks, b"")
            assert await self._read(drive, file_id, credentials) == data

    async def test_downloads_at_once_are_kept_apart(self, provider: DatasourceProvider, credentials: Any) -> None:
        """Troubleshooting: one object serves everybody; keep nothing of a call in it."""
        drive, wanted = _drive(provider, self.source), list(self.files) * 3
        found = await asyncio.gather(*[self._read(drive, file_id, credentials) for file_id in wanted])
        assert found == [self.files[file_id] for file_id in wanted]

    async def test_a_file_that_is_gone_is_told(self, provider: DatasourceProvider, credentials: Any) -> None:
        drive = _drive(provider, self.source)
        with pytest.raises(DatasourceItemNotFound):
            async with drive.download(self.gone, credentials, bucket=self.bucket):
                pass
        with pytest.raises(DatasourceItemNotFound):
            await drive.version(self.gone, credentials, bucket=self.bucket)

    async def test_a_refusal_is_told(self, provider: DatasourceProvider, wrong_credentials: Any) -> None:
        """Troubleshooting: wrong credentials are DatasourceUnauthorized, whatever is asked with them."""
        if wrong_credentials is None:
            return
        drive, file = _drive(provider, self.source), next(iter(self.files))
        with _refused(wrong_credentials):
            await drive.browse(wrong_credentials, bucket=self.bucket)
        with _refused(wrong_credentials):
            async with drive.download(file, wrong_credentials, bucket=self.bucket) as found:
                [piece async for piece in found.chunks]
        with _refused(wrong_credentials):
            await drive.version(file, wrong_credentials, bucket=self.bucket)

    async def _read(self, drive: OnlineDrive, file_id: str, credentials: Any) -> bytes:
        async with drive.download(file_id, credentials, bucket=self.bucket) as file:
            return b"".join([piece async for piece in file.chunks])

    async def _walk(self, provider: DatasourceProvider, credentials: Any, prefix: str, limit: int) -> list[DriveEntry]:
        """Every file, folder by folder."""
        drive = _drive(provider, self.source)
        found: list[DriveEntry] = []
        next_page: dict[str, Any] | None = None
        for _ in range(1000):
            page = await drive.browse(credentials, bucket=self.bucket, prefix=prefix, limit=limit, next_page=next_page)
            assert len(page.files) <= limit
            for entry in page.files:
                if entry.type == "folder":
                    found += await self._walk(provider, credentials, entry.id, limit)
                else:
                    found.append(entry)
            next_page = page.next_page
            if next_page is None:
                return found
        raise AssertionError("the pages of a folder do not come to an end")


def _website(provider: DatasourceProvider, name: str) -> WebsiteCrawl:
    found = _named(provider, name)
    assert isinstance(found, WebsiteCrawl), f"{name} is no website"
    return found


def _documents(provider: DatasourceProvider, name: str) -> OnlineDocument:
    found = _named(provider, name)
    assert isinstance(found, OnlineDocument), f"{name} has no documents"
    return found


def _drive(provider: DatasourceProvider, name: str) -> OnlineDrive:
    found = _named(provider, name)
    assert isinstance(found, OnlineDrive), f"{name} is no drive"
    return found


def _named(provider: DatasourceProvider, name: str) -> Datasource:
    return next(source for source in provider.datasources() if source.name == name)


async def crawled(source: WebsiteCrawl, credentials: Any, **parameters: Any) -> list[CrawlProgress]:
    """All messages of a crawl."""
    return [message async for message in source.crawl(source.Parameters(**parameters), credentials)]


def pages_of(messages: Sequence[CrawlProgress]) -> list[WebPage]:
    """The pages that came with messages."""
    return [page for message in messages for page in message.pages]


class _OneAnswer(FakeHttp):
    """Has the same answer, or error, for everything."""

    def __init__(self, answer: HttpResponse | DifyError) -> None:
        super().__init__()
        self._answer = answer

    async def send(self, request: HttpRequest) -> HttpResponse:
        if isinstance(self._answer, HttpResponse):
            return msgspec.structs.replace(self._answer, url=request.url)
        raise self._answer


@contextmanager
def _refused(wrong_credentials: Any) -> Iterator[None]:
    """What is asked in the block with wrong credentials is refused without repeating them."""
    with pytest.raises(DatasourceUnauthorized) as caught:
        yield
    _assert_untold(caught.value, wrong_credentials)


def _assert_untold(error: DifyError, credentials: Any) -> None:
    told = f"{error} {error.where}"
    for value in revealed(credentials).values():
        assert not (isinstance(value, str) and len(value) > 3 and value in told), "the refusal repeats a value"
