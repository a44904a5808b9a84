"""Reads PowerPoint presentations: the texts of the slides in order, tables as Markdown."""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Iterator
from typing import Any

from dify_nodes_document.archive import open_archive, parse_xml, read_part
from dify_nodes_document.tables import markdown_table

__all__ = ["read_pptx"]

_MAIN = "ppt/presentation.xml"
_DRAWING = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_SLIDE = "{http://schemas.openxmlformats.org/presentationml/2006/main}sldId"
_LINK = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"


def read_pptx(data: bytes) -> str:
    """The slides in order, a blank line between two; notes and pictures are left out."""
    with open_archive(data, "PPTX", _MAIN) as archive:
        slides = (read_part(archive, name) for name in _slides(archive))
        return "\n\n".join("\n".join(_texts(parse_xml(slide))) for slide in slides if slide is not None)


def _slides(archive: zipfile.ZipFile) -> Iterator[str]:
    """The names of the slides' parts in the order of the presentation."""
    relations = parse_xml(read_part(archive, "ppt/_rels/presentation.xml.rels") or b"<none/>")
    targets = {item.get("Id"): item.get("Target") or "" for item in relations}
    for slide in parse_xml(archive.read(_MAIN)).iter(_SLIDE):
        target = targets.get(slide.get(_LINK), "")
        yield posixpath.normpath(posixpath.join("ppt", target)).lstrip("/")


def _texts(root: Any) -> Iterator[str]:
    """Paragraphs and tables of an element, in order, without empty ones."""
    for child in root:
        if child.tag == f"{_DRAWING}tbl":
            rows = [[_cell(cell) for cell in row.iter(f"{_DRAWING}tc")] for row in child.iter(f"{_DRAWING}tr")]
            yield markdown_table(rows)
        elif child.tag == f"{_DRAWING}p":
            text = _paragraph(child)
            if text.strip():
                yield text
        else:
            yield from _texts(child)


def _cell(cell: Any) -> str:
    return "<br>".join(_paragraph(item) for item in cell.iter(f"{_DRAWING}p"))


def _paragraph(paragraph: Any) -> str:
    parts = []
    for item in paragraph.iter(f"{_DRAWING}t", f"{_DRAWING}br"):
        parts.append("\n" if item.tag == f"{_DRAWING}br" else item.text or "")
    return "".join(parts)
