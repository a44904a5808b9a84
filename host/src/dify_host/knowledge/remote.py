"""What indexing needs of sources outside: the text of a document as it is there now."""

from __future__ import annotations

import hashlib
from typing import Any, Final, Protocol

import msgspec

from dify_host.knowledge.records import Document

__all__ = [
    "NOTION_IMPORT",
    "REMOTE_TYPES",
    "UPLOAD_FILE",
    "WEBSITE_CRAWL",
    "Fetched",
    "RemoteDocuments",
    "content_hash",
    "is_remote",
]

#: What `data_source_type` of a document may be, as Dify calls it.
UPLOAD_FILE: Final = "upload_file"
WEBSITE_CRAWL: Final = "website_crawl"
NOTION_IMPORT: Final = "notion_import"
REMOTE_TYPES: Final = (WEBSITE_CRAWL, NOTION_IMPORT)


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """A text, and what its document remembers of the source: `data_source_info`, with `content_hash`."""

    text: str
    info: dict[str, Any]


class RemoteDocuments(Protocol):
    """Reads the documents of one workspace from where they come from."""

    async def fetch(self, kind: str, info: dict[str, Any], *, unless_unchanged: bool = False) -> Fetched | None:
        """The text behind the `data_source_info` of a document of that type.

        With `unless_unchanged`, None when it is what `info` remembers. Raises DatasourceError and its family, NotFound
        for credentials that are gone; `retryable` says whether the same may succeed later.
        """
        ...


def content_hash(text: str) -> str:
    """What is remembered of a text, to know it again."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def is_remote(document: Document) -> bool:
    """Whether a document is read from outside."""
    return document.data_source_type in REMOTE_TYPES
