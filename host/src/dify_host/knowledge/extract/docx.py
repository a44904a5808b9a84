"""Reads Word documents: page headers, then paragraphs and tables in order; tables, links, pictures as Markdown."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from dify_host.knowledge.extract.pictures import Pictures
from dify_host.knowledge.extract.tables import markdown_table
from dify_host.knowledge.extract.text import Text

__all__ = ["read_docx"]

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_ID = f"{_R}id"
#: What shows a picture, new and old, and where it names it.
_PICTURES = {
    "{http://schemas.openxmlformats.org/drawingml/2006/main}blip": (f"{_R}embed", f"{_R}link"),
    "{urn:schemas-microsoft-com:vml}imagedata": (_ID, f"{_R}href"),
}
#: What is drawn twice for old programs, or was taken out by an editor who kept track.
_PASSED = frozenset(("{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback", f"{_W}del"))
_SIGNS = {f"{_W}tab": "\t", f"{_W}br": "\n", f"{_W}cr": "\n", f"{_W}noBreakHyphen": "-"}


class _Part:
    """What a part of the document refers to; pictures only where they are wanted."""

    def __init__(self, part: Any, pictures: Pictures | None = None) -> None:
        self._rels, self._pictures = part.rels, pictures

    def address(self, name: str | None) -> str:
        """The address of a link by its id."""
        link = self._rels.get(name) if name else None
        return link.target_ref if link is not None and link.is_external else ""

    def picture(self, name: str | None) -> str:
        """What stands for a picture by its id."""
        link = self._rels.get(name) if name and self._pictures is not None else None
        if link is None or self._pictures is None:
            return ""
        return self._pictures.shown(link.target_ref) if link.is_external else self._pictures.add(link.target_part.blob)


def read_docx(data: bytes, pictures: Pictures | None = None) -> list[Text]:
    """Read the document as one text; a header that several sections share stands once, without its pictures."""
    from docx import Document

    document = Document(io.BytesIO(data))
    headers = []
    for section in document.sections:
        if not section.header.is_linked_to_previous:
            header = "\n".join(_blocks(section.header._element, _Part(section.header.part))).strip()
            if header and header not in headers:
                headers.append(header)
    body = "\n".join(_blocks(document.element.body, _Part(document.part, pictures)))
    return [Text(text="\n\n".join([*headers, body]).strip())]


def _blocks(parent: Any, part: _Part) -> Iterator[str]:
    """The paragraphs and tables of an element, also those in fields that a form has."""
    for child in parent:
        if child.tag == f"{_W}p":
            yield _heading(child) + _inline(child, part)
        elif child.tag == f"{_W}tbl":
            table = markdown_table(_rows(child, part))
            if table:
                yield table + "\n"
        elif child.tag in (f"{_W}sdt", f"{_W}sdtContent", f"{_W}ins", f"{_W}customXml"):
            yield from _blocks(child, part)


def _heading(paragraph: Any) -> str:
    """The Markdown sign of a heading, by the style that Word gives it in every language."""
    style = paragraph.find(f"{_W}pPr/{_W}pStyle")
    name = (style.get(f"{_W}val") or "") if style is not None else ""
    level = name.removeprefix("Heading")
    return "#" * int(level) + " " if level in ("1", "2", "3", "4", "5", "6") else ""


def _inline(element: Any, part: _Part) -> str:
    """The text of a paragraph; a link with an address becomes a Markdown link."""
    parts = []
    for child in element:
        if child.tag == f"{_W}t":
            parts.append(child.text or "")
        elif child.tag in _SIGNS:
            parts.append(_SIGNS[child.tag])
        elif child.tag == f"{_W}hyperlink":
            text, target = _inline(child, part), part.address(child.get(_ID))
            parts.append(f"[{text}]({target})" if target and text.strip() else text)
        elif child.tag in _PICTURES:
            named = next(filter(None, map(child.get, _PICTURES[child.tag])), None)
            parts.append(part.picture(named))
        elif child.tag == f"{_W}txbxContent":
            parts.append("\n" + "\n".join(_blocks(child, part)) + "\n")
        elif child.tag not in _PASSED:
            parts.append(_inline(child, part))
    return "".join(parts)


def _rows(table: Any, part: _Part) -> Iterator[list[str]]:
    """The texts of the cells; a merged cell is written once, and leaves its other places empty."""
    for row in table.iterchildren(f"{_W}tr"):
        texts = []
        for cell in row.iter(f"{_W}tc"):
            if cell.getparent() is not row and cell.getparent().tag != f"{_W}sdtContent":
                continue  # of a table inside the cell
            merged = cell.find(f"{_W}tcPr/{_W}vMerge")
            goes_on = merged is not None and merged.get(f"{_W}val") != "restart"
            texts.append("" if goes_on else _cell(cell, part))
            span = cell.find(f"{_W}tcPr/{_W}gridSpan")
            texts += [""] * (min(int(span.get(f"{_W}val") or 1), 64) - 1 if span is not None else 0)
        yield texts


def _cell(cell: Any, part: _Part) -> str:
    """The paragraphs of a cell; a table in it as its cells."""
    texts = []
    for child in cell:
        if child.tag == f"{_W}tbl":
            texts += [text for row in _rows(child, part) for text in row]
        elif child.tag == f"{_W}p":
            texts.append(_inline(child, part))
        elif child.tag == f"{_W}sdt":
            texts += _blocks(child, part)
    return " ".join(text.strip() for text in texts if text.strip())
