"""Reads OpenDocument: texts as one text with Markdown tables, sheets as one text a row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dify_host.knowledge.errors import ExtractionFailed
from dify_host.knowledge.extract.archive import open_archive, parse_xml, read_part
from dify_host.knowledge.extract.tables import Row, markdown_table, sheet_texts
from dify_host.knowledge.extract.text import Text

__all__ = ["read_ods", "read_odt"]

_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_LINK = "{http://www.w3.org/1999/xlink}href"
#: Columns of the widest sheet; a cell that is repeated is written no more often.
_MAX_COLUMNS = 16_384
#: What stands in a paragraph and is none of its words: the text of a note, of a box.
_APART = frozenset((f"{_TEXT}note-body", "{urn:oasis:names:tc:opendocument:xmlns:drawing:1.0}text-box"))
_PASSED = frozenset((f"{_OFFICE}annotation", f"{_TEXT}tracked-changes", f"{_TEXT}note-citation"))


def read_odt(data: bytes) -> list[Text]:
    """Read the body as one text: headings as Markdown, tables as Markdown, links as Markdown."""
    return [Text(text="\n".join(_blocks(_body(data, "odt", "text"))).strip())]


def read_ods(data: bytes) -> list[Text]:
    """Read every sheet; a row that is repeated gives one text."""
    texts: list[Text] = []
    for sheet in _body(data, "ods", "spreadsheet").iter(f"{_TABLE}table"):
        texts += sheet_texts(sheet.get(f"{_TABLE}name") or "", _rows(sheet))
    return texts


def _body(data: bytes, extension: str, kind: str) -> Any:
    with open_archive(data, extension) as archive:
        if b"encryption-data" in (read_part(archive, "META-INF/manifest.xml") or b""):
            raise ExtractionFailed(
                f"The {extension} file is protected with a password.", hint="Save it without a password."
            )
        root = parse_xml(archive.read("content.xml"))
    body = root.find(f"{_OFFICE}body/{_OFFICE}{kind}")
    if body is None:
        raise ExtractionFailed(f"The {extension} file is damaged: it has no {kind}.", hint="Save it again.")
    return body


def _blocks(parent: Any) -> Iterator[str]:
    for child in parent:
        if child.tag == f"{_TEXT}h":
            level = child.get(f"{_TEXT}outline-level") or "1"
            yield "#" * (int(level) if level in "123456" else 6) + " " + _inline(child)
        elif child.tag == f"{_TEXT}p":
            yield _inline(child)
        elif child.tag == f"{_TABLE}table":
            table = markdown_table(cells for _, cells in _rows(child))
            if table:
                yield table + "\n"
        elif child.tag not in _PASSED:
            yield from _blocks(child)


def _rows(table: Any) -> Iterator[Row]:
    number = 1
    for row in table.iter(f"{_TABLE}table-row"):
        if next(row.iterancestors(f"{_TABLE}table")) is table:
            yield number, _cells(row)
            number += _repeated(row, "rows")


def _cells(row: Any) -> list[str]:
    cells: list[str] = []
    for cell in row.iterchildren(f"{_TABLE}table-cell", f"{_TABLE}covered-table-cell"):
        text = " ".join(_inline(item).strip() for item in _paragraphs(cell)).strip()
        cells += [text] * min(_repeated(cell, "columns"), _MAX_COLUMNS - len(cells))
    while cells and not cells[-1]:
        cells.pop()
    return cells


def _paragraphs(cell: Any) -> Iterator[Any]:
    """The paragraphs of a cell, also of lists and tables in it; what stands in a paragraph is read with it."""
    for child in cell:
        if child.tag in (f"{_TEXT}p", f"{_TEXT}h"):
            yield child
        elif child.tag not in _PASSED:
            yield from _paragraphs(child)


def _repeated(element: Any, what: str) -> int:
    value = element.get(f"{_TABLE}number-{what}-repeated") or "1"
    return max(int(value), 1) if value.isdecimal() and len(value) < 9 else 1


def _inline(element: Any) -> str:
    parts = [element.text or ""]
    for child in element:
        if child.tag == f"{_TEXT}s":
            parts.append(" ")
        elif child.tag == f"{_TEXT}tab":
            parts.append("\t")
        elif child.tag == f"{_TEXT}line-break":
            parts.append("\n")
        elif child.tag == f"{_TEXT}a":
            text, address = _inline(child), child.get(_LINK) or ""
            parts.append(f"[{text}]({address})" if address and text.strip() else text)
        elif child.tag in _APART:
            parts.append(f" {_inline(child).strip()} ")
        elif child.tag not in _PASSED and isinstance(child.tag, str):
            parts.append(_inline(child))
        parts.append(child.tail or "")
    return "".join(parts)
