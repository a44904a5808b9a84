"""Reads EPUB books: one text a chapter in reading order."""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import unquote

from dify_host.knowledge.errors import ExtractionFailed
from dify_host.knowledge.extract.archive import open_archive, parse_xml, read_part
from dify_host.knowledge.extract.html import html_text
from dify_host.knowledge.extract.pictures import Pictures
from dify_host.knowledge.extract.text import Text

__all__ = ["read_epub"]

_CONTAINER = "META-INF/container.xml"
#: What is no page, whatever else an item says that it is. A drawing may be one.
_NO_PAGES, _DRAWING = ("image", "audio", "video", "font"), "image/svg+xml"
_MOST_FALLBACKS = 8


def read_epub(data: bytes, pictures: Pictures | None = None) -> list[Text]:
    """Read the chapters in the order of the spine; the metadata has the chapter's number, from 1."""
    with open_archive(data, "epub") as archive:
        if read_part(archive, "META-INF/rights.xml") is not None:
            raise ExtractionFailed("The book is protected by rights management.", hint="Use a copy without it.")
        texts = []
        for number, (name, chapter) in enumerate(_chapters(archive), 1):
            text = html_text(chapter, pictures=pictures, part=partial(_beside, archive, name))
            if text:
                texts.append(Text(text=text, metadata={"chapter": number}))
        return texts


def _chapters(archive: zipfile.ZipFile) -> Iterator[tuple[str, bytes]]:
    """The names and bytes of the pages; what the spine shows that is no page has one to fall back to, or none."""
    root = parse_xml(archive.read(_CONTAINER))
    package = next((item.get("full-path") or "" for item in root.iter("{*}rootfile")), "").lstrip("/")
    content = read_part(archive, package)
    if content is None:
        raise ExtractionFailed(f"The epub file is damaged: {_CONTAINER} does not name its contents.")
    book = parse_xml(content)
    items = {item.get("id"): item for item in book.iter("{*}item")}
    seen = set()
    for reference in book.iter("{*}itemref"):
        item = _page(items, reference.get("idref"))
        name = _place(package, item.get("href") or "") if item is not None else ""
        chapter = read_part(archive, name) if name not in seen else None
        seen.add(name)
        if chapter is not None:
            yield name, chapter


def _page(items: Mapping[str | None, Any], name: str | None) -> Any:
    """The item of that id, or the first page that it falls back to; None when there is none."""
    for _ in range(_MOST_FALLBACKS):
        item = items.get(name)
        if item is None:
            break
        kind = (item.get("media-type") or "").lower()
        if kind == _DRAWING or kind.partition("/")[0] not in _NO_PAGES:
            return item
        name = item.get("fallback")
    return None


def _place(page: str, address: str) -> str:
    """The name of the part that an address on a page names."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), unquote(address.partition("#")[0])))


def _beside(archive: zipfile.ZipFile, page: str, address: str) -> bytes | None:
    return read_part(archive, _place(page, address))
