"""Reads Word documents: page headers, then paragraphs and tables in order, tables and links as Markdown."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

from dify_host.knowledge.extract.tables import markdown_table
from dify_host.knowledge.extract.text import Text

__all__ = ["read_docx"]

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_ID = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
#: What is drawn twice for old programs, or was taken out by an editor who kept track.
_PASSED = frozenset(("{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback", f"{_W}del"))
_SIGNS = {f"{_W}tab": "\t", f"{_W}br": "\n", f"{_W}cr": "\n", f"{_W}noBreakHyphen": "-"}

#: Gives the address of a link by its id.
_Address = Callable[[str | None], str]


def read_docx(data: bytes) -> list[Text]:
    """Read the document as one text; a header that several sections share stands once."""
    from docx import Document

    document = Document(io.BytesIO(data))
    headers = []
    for section in document.sections:
        if not section.header.is_linked_to_previous:
            header = "\n".join(_blocks(section.header._element, _addresses(section.header.part))).strip()
            if header and header not in headers:
                headers.append(header)
    body = "\n".join(_blocks(document.element.body, _addresses(document.part)))
    return [Text(text="\n\n".join([*headers, body]).strip())]


def _addresses(part: Any) -> _Address:
    links = {name: item.target_ref for name, item in part.rels.items() if item.is_external}
    return lambda name: links.get(name, "") if name else ""


def _blocks(parent: Any, address: _Address) -> Iterator[str]:
    """The paragraphs and tables of an element, also those in fields that a form has."""
    for child in parent:
        if child.tag == f"{_W}p":
            yield _heading(child) + _inline(child, address)
        elif child.tag == f"{_W}tbl":
            table = markdown_table(_rows(child, address))
            if table:
                yield table + "\n"
        elif child.tag in (f"{_W}sdt", f"{_W}sdtContent", f"{_W}ins", f"{_W}customXml"):
            yield from _blocks(child, address)


def _heading(paragraph: Any) -> str:
    """The Markdown sign of a heading, by the style that Word gives it in every language."""
    style = paragraph.find(f"{_W}pPr/{_W}pStyle")
    name = (style.get(f"{_W}val") or "") if style is not None else ""
    level = name.removeprefix("Heading")
    return "#" * int(level) + " " if level in ("1", "2", "3", "4", "5", "6") else ""


def _inline(element: Any, address: _Address) -> str:
    """The text of a paragraph; a link with an address becomes a Markdown link."""
    parts = []
    for child in element:
        if child.tag == f"{_W}t":
            parts.append(child.text or "")
        elif child.tag in _SIGNS:
            parts.append(_SIGNS[child.tag])
        elif child.tag == f"{_W}hyperlink":
            text, target = _inline(child, address), address(child.get(_ID))
            parts.append(f"[{text}]({target})" if target and text.strip() else text)
        elif child.tag == f"{_W}txbxContent":
            parts.append("\n" + "\n".join(_blocks(child, address)) + "\n")
        elif child.tag not in _PASSED:
            parts.append(_inline(child, address))
    return "".join(parts)


def _rows(table: Any, address: _Address) -> Iterator[list[str]]:
    """The texts of the cells; a merged cell is written once, and leaves its other places empty."""
    for row in table.iterchildren(f"{_W}tr"):
        texts = []
        for cell in row.iter(f"{_W}tc"):
            if cell.getparent() is not row and cell.getparent().tag != f"{_W}sdtContent":
                continue  # of a table inside the cell
            merged = cell.find(f"{_W}tcPr/{_W}vMerge")
            goes_on = merged is not None and merged.get(f"{_W}val") != "restart"
            texts.append("" if goes_on else _cell(cell, address))
            span = cell.find(f"{_W}tcPr/{_W}gridSpan")
            texts += [""] * (min(int(span.get(f"{_W}val") or 1), 64) - 1 if span is not None else 0)
        yield texts


def _cell(cell: Any, address: _Address) -> str:
    """The paragraphs of a cell; a table in it as its cells."""
    texts = []
    for child in cell:
        if child.tag == f"{_W}tbl":
            texts += [text for row in _rows(child, address) for text in row]
        elif child.tag == f"{_W}p":
            texts.append(_inline(child, address))
        elif child.tag == f"{_W}sdt":
            texts += _blocks(child, address)
    return " ".join(text.strip() for text in texts if text.strip())
