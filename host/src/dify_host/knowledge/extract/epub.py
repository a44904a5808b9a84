"""Reads EPUB books: one text a chapter in reading order."""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Iterator
from urllib.parse import unquote

from dify_host.knowledge.errors import ExtractionFailed
from dify_host.knowledge.extract.archive import open_archive, parse_xml, read_part
from dify_host.knowledge.extract.html import html_text
from dify_host.knowledge.extract.text import Text

__all__ = ["read_epub"]

_CONTAINER = "META-INF/container.xml"


def read_epub(data: bytes) -> list[Text]:
    """Read the chapters in the order of the spine; the metadata has the chapter's number, from 1."""
    with open_archive(data, "epub") as archive:
        if read_part(archive, "META-INF/rights.xml") is not None:
            raise ExtractionFailed("The book is protected by rights management.", hint="Use a copy without it.")
        texts = ((number, html_text(chapter)) for number, chapter in enumerate(_chapters(archive), 1))
        return [Text(text=text, metadata={"chapter": number}) for number, text in texts if text]


def _chapters(archive: zipfile.ZipFile) -> Iterator[bytes]:
    root = parse_xml(archive.read(_CONTAINER))
    package = next((item.get("full-path") for item in root.iter("{*}rootfile")), None)
    content = read_part(archive, package or "")
    if package is None or content is None:
        raise ExtractionFailed(f"The epub file is damaged: {_CONTAINER} does not name its contents.")
    book = parse_xml(content)
    places = {item.get("id"): item.get("href") or "" for item in book.iter("{*}item")}
    seen = set()
    for item in book.iter("{*}itemref"):
        name = posixpath.normpath(
            posixpath.join(posixpath.dirname(package), unquote(places.get(item.get("idref"), "")))
        )
        chapter = read_part(archive, name) if name not in seen else None
        seen.add(name)
        if chapter is not None:
            yield chapter
