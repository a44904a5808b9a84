"""Reads Excel workbooks: one text a row, links as Markdown."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Any

from dify_host.knowledge.extract.archive import open_archive, parse_xml, relations
from dify_host.knowledge.extract.tables import Row, sheet_texts
from dify_host.knowledge.extract.text import Text, with_newlines

__all__ = ["read_xlsx"]

_MAIN = "xl/workbook.xml"
_SHEETS = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_ID = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"

#: The address of a link by row and column, both counted from 1.
_Links = dict[tuple[int, int], str]


def read_xlsx(data: bytes) -> list[Text]:
    """Read every sheet, values as last calculated."""
    from openpyxl import load_workbook

    with open_archive(data, "xlsx") as archive:
        links = _links(archive)
    book = load_workbook(io.BytesIO(data), read_only=True, data_only=True)
    try:
        return [text for sheet in book.worksheets for text in _sheet(sheet, links.get(sheet.title, {}))]
    finally:
        book.close()


def _sheet(sheet: Any, links: _Links) -> Iterator[Text]:
    sheet.reset_dimensions()  # files of other programs often state wrong ones
    return sheet_texts(sheet.title, _rows(sheet, links))


def _rows(sheet: Any, links: _Links) -> Iterator[Row]:
    from openpyxl.utils.escape import unescape

    for number, row in enumerate(sheet.iter_rows(values_only=True), 1):
        cells = ["" if value is None else str(value).strip() for value in row]
        if any("_x" in text for text in cells):  # letters that XML cannot hold, or a text that looks like one
            cells = [with_newlines(unescape(text)).strip() for text in cells]
        if links:
            for column, text in enumerate(cells, 1):
                address = links.get((number, column))
                if address and text:
                    cells[column - 1] = f"[{text}]({address})"
        yield number, cells


def _links(archive: zipfile.ZipFile) -> dict[str, _Links]:
    """The links of every sheet by its name; openpyxl does not give them when it reads row by row."""
    parts = relations(archive, _MAIN)
    found = {}
    for sheet in parse_xml(archive.read(_MAIN)).iter(f"{_SHEETS}sheet") if _MAIN in archive.NameToInfo else ():
        _, part = parts.get(sheet.get(_ID), ("", ""))
        targets = relations(archive, part) if part in archive.NameToInfo else {}
        if any(kind == "hyperlink" for kind, _ in targets.values()):
            found[sheet.get("name") or ""] = _sheet_links(archive, part, targets)
    return found


def _sheet_links(archive: zipfile.ZipFile, part: str, targets: dict[str, tuple[str, str]]) -> _Links:
    from lxml import etree
    from openpyxl.utils.cell import coordinate_to_tuple

    links: _Links = {}
    with archive.open(part) as file:
        for _, item in etree.iterparse(file, resolve_entities=False, no_network=True):
            if item.tag == f"{_SHEETS}hyperlink" and item.get(_ID) in targets:
                first = (item.get("ref") or "A1").partition(":")[0]
                links[coordinate_to_tuple(first)] = targets[item.get(_ID)][1]
            elif item.tag == f"{_SHEETS}row":
                item.clear()  # only the end of the part is wanted
                while item.getprevious() is not None:
                    del item.getparent()[0]
    return links
