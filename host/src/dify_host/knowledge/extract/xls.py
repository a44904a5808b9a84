"""Reads old Excel workbooks: one text a row, links as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dify_host.knowledge.errors import ExtractionFailed
from dify_host.knowledge.extract.tables import Row, sheet_texts
from dify_host.knowledge.extract.text import Text
from dify_host.knowledge.extract.xlsx import read_xlsx

__all__ = ["read_xls"]


def read_xls(data: bytes) -> list[Text]:
    """Read every sheet. New workbooks are told by their content, because many programs name them xls."""
    import os

    import xlrd

    if data.startswith(b"PK"):
        return read_xlsx(data)
    try:
        with open(os.devnull, "w") as quiet:
            book = xlrd.open_workbook(file_contents=data, on_demand=True, logfile=quiet)
    except xlrd.XLRDError as exc:
        if "encrypted" in str(exc):
            raise ExtractionFailed(
                "The xls file is protected with a password.", hint="Save it without a password."
            ) from exc
        raise ExtractionFailed(f"The xls file is damaged: {exc}.", hint="Save it as xlsx.") from exc
    return [text for sheet in book.sheets() for text in sheet_texts(sheet.name, _rows(xlrd, sheet, book.datemode))]


def _rows(xlrd: Any, sheet: Any, datemode: int) -> Iterator[Row]:
    links: dict[int, dict[int, str]] = {}
    for link in sheet.hyperlink_list:
        if isinstance(link.url_or_path, str) and "://" in link.url_or_path:
            links.setdefault(link.frowx, {})[link.fcolx] = link.url_or_path
    for number in range(sheet.nrows):
        cells = [_show(xlrd, cell, datemode).strip() for cell in sheet.row(number)]
        for column, address in links.get(number, {}).items():
            if column < len(cells) and cells[column]:
                cells[column] = f"[{cells[column]}]({address})"
        yield number + 1, cells


def _show(xlrd: Any, cell: Any, datemode: int) -> str:
    if cell.ctype == xlrd.XL_CELL_DATE:
        try:
            return str(xlrd.xldate_as_datetime(cell.value, datemode))
        except (ValueError, OverflowError):  # a number that no calendar has
            return str(cell.value)
    if cell.ctype == xlrd.XL_CELL_BOOLEAN:
        return str(bool(cell.value))
    if cell.ctype == xlrd.XL_CELL_ERROR:
        return str(xlrd.error_text_from_code.get(cell.value, ""))
    value = cell.value
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
