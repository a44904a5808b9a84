"""Reads EPUB books: the words of their chapters in reading order."""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Iterator
from urllib.parse import unquote

from dify_nodes_document.archive import open_archive, parse_xml, read_part
from dify_nodes_document.formats import extraction_failed
from dify_nodes_document.text import html_text

__all__ = ["read_epub"]

_CONTAINER = "META-INF/container.xml"


def read_epub(data: bytes) -> str:
    """The chapters in the order of the spine, a blank line between two."""
    with open_archive(data, "EPUB", _CONTAINER) as archive:
        if read_part(archive, "META-INF/rights.xml") is not None:
            raise extraction_failed("EPUB", "the book is protected by rights management")
        texts = (html_text(chapter) for chapter in _chapters(archive))
        return "\n\n".join(text for text in texts if text)


def _chapters(archive: zipfile.ZipFile) -> Iterator[bytes]:
    root = parse_xml(archive.read(_CONTAINER))
    package = next((item.get("full-path") for item in root.iter("{*}rootfile")), None)
    content = read_part(archive, package or "")
    if package is None or content is None:
        raise extraction_failed("EPUB", f"{_CONTAINER} does not name the contents", hint="Save it again.")
    book = parse_xml(content)
    places = {item.get("id"): item.get("href") or "" for item in book.iter("{*}item")}
    for item in book.iter("{*}itemref"):
        name = posixpath.join(posixpath.dirname(package), unquote(places.get(item.get("idref"), "")))
        chapter = read_part(archive, posixpath.normpath(name))
        if chapter is not None:
            yield chapter
