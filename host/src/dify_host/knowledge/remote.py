"""What indexing needs of sources outside: the text or file of a document as it is there now."""

from __future__ import annotations

import hashlib
from typing import Any, Final, Protocol

import msgspec

from dify_host.knowledge.pipeline_documents import CREATED_FROM
from dify_host.knowledge.records import Document

__all__ = [
    "NOTION_IMPORT",
    "ONLINE_DRIVE",
    "REMOTE_TYPES",
    "UPLOAD_FILE",
    "WEBSITE_CRAWL",
    "Fetched",
    "FetchedFile",
    "RemoteDocuments",
    "content_hash",
    "is_remote",
]

#: What `data_source_type` of a document may be, as Dify calls it.
UPLOAD_FILE: Final = "upload_file"
WEBSITE_CRAWL: Final = "website_crawl"
NOTION_IMPORT: Final = "notion_import"
ONLINE_DRIVE: Final = "online_drive"
REMOTE_TYPES: Final = (WEBSITE_CRAWL, NOTION_IMPORT, ONLINE_DRIVE)


class FetchedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that has to be read by its format, which its name tells."""

    name: str
    data: bytes


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """A text or a file, and what its document remembers of the source: `data_source_info`, with `content_hash`.

    `is_known` when it is what the document was made of, and only the source tells something new of it.
    """

    info: dict[str, Any]
    is_known: bool = False
    text: str = ""
    file: FetchedFile | None = None


class RemoteDocuments(Protocol):
    """Reads the documents of one workspace from where they come from."""

    async def fetch(self, kind: str, info: dict[str, Any], *, unless_unchanged: bool = False) -> Fetched | None:
        """The text or file behind the `data_source_info` of a document of that type.

        With `unless_unchanged`, None when the source says what `info` remembers, and `is_known` when the content does.
        Raises DatasourceError and its family, NotFound for credentials that are gone; `retryable` says whether the same
        may succeed later.
        """
        ...


def content_hash(content: str | bytes) -> str:
    """What is remembered of a text or file, to know it again."""
    return hashlib.sha256(content.encode("utf-8", "replace") if isinstance(content, str) else content).hexdigest()


def is_remote(document: Document) -> bool:
    """Whether indexing reads a document from outside; what a pipeline makes, the pipeline reads."""
    return document.data_source_type in REMOTE_TYPES and document.created_from != CREATED_FROM
