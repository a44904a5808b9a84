"""The datasource contract: where knowledge comes from. Websites to crawl, online documents, online drives.

A provider holds credentials and offers sources; each source is of one type, which is its base class. All requests go
through the HTTP port of the provider. Errors: DatasourceError and its family; whatever is asked with credentials that
the service refuses is DatasourceUnauthorized. No error tells a secret.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from dify_kernel.contracts.http import HttpClient
from dify_kernel.settings import Doc

__all__ = [
    "CrawlParameters",
    "CrawlProgress",
    "Datasource",
    "DatasourceProvider",
    "DocumentContent",
    "DocumentInfo",
    "DocumentRef",
    "DocumentWorkspace",
    "DriveEntry",
    "DriveFile",
    "DriveListing",
    "NoParameters",
    "OnlineDocument",
    "OnlineDrive",
    "WebPage",
    "WebsiteCrawl",
]


class NoParameters(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing to enter."""


class Datasource(ABC):
    """One source of a provider. Implement one of its subclasses: they are the types that there are."""

    datasource_type: ClassVar[str]
    name: ClassVar[str]
    label: ClassVar[str]
    description: ClassVar[str]
    Parameters: ClassVar[type[msgspec.Struct]] = NoParameters


class DatasourceProvider(ABC):
    """The sources behind one account. One object serves everybody: it keeps nothing of a call."""

    name: ClassVar[str]
    label: ClassVar[str]
    Credentials: ClassVar[type[msgspec.Struct]]

    def __init__(self, http: HttpClient) -> None:
        self.http = http

    @abstractmethod
    def datasources(self) -> Sequence[Datasource]:
        """The sources, at least one; no I/O."""

    @abstractmethod
    async def check(self, credentials: Any) -> None:
        """Ask the service whether credentials are good; CredentialsValidateFailedError with its words if not.

        So is an address among them that the HTTP port refuses. DatasourceUnavailable when the service cannot be asked.
        """


# -- websites ------------------------------------------------------------------------------------------------


class CrawlParameters(msgspec.Struct, frozen=True, kw_only=True):
    """What a crawl is asked for. A source with more to ask for extends it. Patterns are like `blog/*, about`."""

    url: Annotated[str, Doc("Where to begin, with http:// or https://."), msgspec.Meta(title="URL")]
    crawl_sub_pages: Annotated[bool, Doc("Follow links to other pages of the site.")] = True
    limit: Annotated[int, Doc("The most pages to read."), msgspec.Meta(ge=1, le=10_000)] = 10
    max_depth: Annotated[int, Doc("The most links from the first page to another."), msgspec.Meta(ge=0, le=100)] = 2
    include_paths: Annotated[str, Doc("Only pages with such a path, patterns separated by commas.")] = ""
    exclude_paths: Annotated[str, Doc("No pages with such a path, patterns separated by commas.")] = ""
    only_main_content: Annotated[bool, Doc("Leave out menus, headers and footers.")] = True
    use_sitemap: Annotated[bool, Doc("Look into the site's map for more pages.")] = False


class WebPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page that was read. `source_url` is absolute and names it; `content` is Markdown or plain text, not empty."""

    source_url: str
    content: str
    title: str = ""
    description: str = ""


class CrawlProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a crawl is: `completed` of `total` pages that are known so far, and the pages that are new."""

    completed: int
    total: int
    pages: list[WebPage] = []


class WebsiteCrawl(Datasource):
    """Reads the pages of a website."""

    datasource_type: ClassVar[str] = "website_crawl"
    Parameters: ClassVar[type[CrawlParameters]] = CrawlParameters

    @abstractmethod
    def crawl(self, parameters: Any, credentials: Any) -> AsyncIterator[CrawlProgress]:
        """Read pages from `parameters.url` on, `limit` at most.

        Every page comes once, in the message that first counts it: `completed` is how many have come, never falls,
        and is never over `total`. The last message counts all pages. A page that cannot be read is left out, but the
        first one: then the error is raised, as it is when no page has text. Leaving the iteration ends the crawl.
        """

    @abstractmethod
    async def read(self, url: str, credentials: Any, *, only_main_content: bool = True) -> WebPage:
        """Read one page; DatasourceItemNotFound when the site has it no more."""


# -- online documents ----------------------------------------------------------------------------------------


class DocumentRef(msgspec.Struct, frozen=True, kw_only=True):
    """Which document: ids of its service, and what it is."""

    workspace_id: str
    page_id: str
    type: Literal["page", "database"] = "page"


class DocumentInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One document in a list. `last_edited_time` is the service's own text: equal means unchanged."""

    page_id: str
    page_name: str
    type: Literal["page", "database"] = "page"
    last_edited_time: str = ""
    parent_id: str = ""
    page_icon: dict[str, Any] | None = None


class DocumentWorkspace(msgspec.Struct, frozen=True, kw_only=True):
    """The documents of one workspace that the credentials may read."""

    workspace_id: str
    workspace_name: str = ""
    workspace_icon: str = ""
    pages: list[DocumentInfo] = []


class DocumentContent(msgspec.Struct, frozen=True, kw_only=True):
    """A document with its text, as Markdown."""

    page_id: str
    content: str
    title: str = ""
    last_edited_time: str = ""


class OnlineDocument(Datasource):
    """Reads documents that people write in a service."""

    datasource_type: ClassVar[str] = "online_document"

    @abstractmethod
    async def workspaces(self, parameters: Any, credentials: Any) -> list[DocumentWorkspace]:
        """Everything that may be read, each document once."""

    @abstractmethod
    async def read(self, ref: DocumentRef, credentials: Any) -> DocumentContent:
        """One document; DatasourceItemNotFound when it is gone or not shared."""

    @abstractmethod
    async def last_edited(self, ref: DocumentRef, credentials: Any) -> str:
        """The `last_edited_time` of a document, without reading it; DatasourceItemNotFound."""


# -- online drives -------------------------------------------------------------------------------------------


class DriveEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A file, a folder or a bucket; `id` is what `browse` takes as prefix or bucket, and `download` as file.

    `version` of a file is the service's own text: equal means unchanged. Empty where it tells none.
    """

    id: str
    name: str
    type: Literal["file", "folder", "bucket"] = "file"
    size: int = 0
    version: str = ""


class DriveListing(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a folder, or of the buckets there are; `next_page` is given back for more, None at the end."""

    bucket: str = ""
    files: list[DriveEntry] = []
    next_page: dict[str, Any] | None = None


class DriveFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file while it is fetched; `chunks` can be read once, and `version` is that of its entry."""

    name: str
    mime_type: str
    chunks: AsyncIterator[bytes]
    size: int | None = None
    version: str = ""


class OnlineDrive(Datasource):
    """Brings files from a drive."""

    datasource_type: ClassVar[str] = "online_drive"

    @abstractmethod
    async def browse(
        self,
        credentials: Any,
        *,
        bucket: str = "",
        prefix: str = "",
        limit: int = 100,
        next_page: dict[str, Any] | None = None,
    ) -> DriveListing:
        """What is in a folder, at most `limit` entries, each on one page; the top of the drive without a prefix.

        A drive with buckets lists them when no bucket is named; nothing else is of the type `bucket`.
        """

    @abstractmethod
    def download(self, file_id: str, credentials: Any, *, bucket: str = "") -> AbstractAsyncContextManager[DriveFile]:
        """One file as a stream; leaving the block closes it, whatever was read. DatasourceItemNotFound."""

    async def version(self, file_id: str, credentials: Any, *, bucket: str = "") -> str:
        """The `version` of a file, without reading it; DatasourceItemNotFound. A drive that can ask for it does."""
        async with self.download(file_id, credentials, bucket=bucket) as file:
            return file.version
