"""Reads CSV and Excel as Markdown tables."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from dify_nodes_document.archive import open_archive
from dify_nodes_document.content import ZIP
from dify_nodes_document.formats import extraction_failed, unsupported
from dify_nodes_document.text import decode

__all__ = ["markdown_table", "read_csv", "read_excel"]


def markdown_table(rows: Iterable[Sequence[str]]) -> str:
    """Rows as a table, the first as its head; "" without rows. Cells keep to one line."""
    lines = [[_cell(text) for text in row] for row in rows]
    width = max((len(line) for line in lines), default=0)
    if not width:
        return ""
    filled = [line + [""] * (width - len(line)) for line in lines]
    written = ["| " + " | ".join(line) + " |" for line in filled]
    written.insert(1, "| " + " | ".join(["---"] * width) + " |")
    return "\n".join(written)


def _cell(text: str) -> str:
    return " ".join(text.splitlines()).replace("|", "\\|").strip()


def read_csv(data: bytes) -> str:
    """The rows that hold anything; the delimiter is the most frequent one of the first line."""
    csv.field_size_limit(sys.maxsize)
    content = decode(data)
    first = content.lstrip("\r\n").split("\n", 1)[0]
    delimiter = max(",;\t|", key=first.count)
    rows = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter)
    return markdown_table(row for row in rows if any(text.strip() for text in row))


def read_excel(data: bytes) -> str:
    """Every sheet that holds anything, with a blank line between; values as last calculated.

    Old and new workbooks are told apart by their content, because their names are often wrong.
    """
    sheets = _xlsx(data) if data.startswith(ZIP) else _xls(data)
    tables = [markdown_table(_filled(rows)) for rows in sheets]
    return "\n\n".join(table for table in tables if table)


def _filled(rows: Iterable[Sequence[str]]) -> Iterator[list[str]]:
    """The rows that hold anything, without the empty cells behind the last one."""
    for row in rows:
        length = max((at for at, text in enumerate(row, 1) if text.strip()), default=0)
        if length:
            yield list(row[:length])


def _xlsx(data: bytes) -> Iterator[Iterator[list[str]]]:
    from openpyxl import load_workbook

    open_archive(data, "Excel", "xl/workbook.xml").close()
    book = load_workbook(io.BytesIO(data), read_only=True, data_only=True)
    try:
        for sheet in book.worksheets:
            sheet.reset_dimensions()  # files of other programs often state wrong ones
            yield ([_shown(value) for value in row] for row in sheet.iter_rows(values_only=True))
    finally:
        book.close()


def _xls(data: bytes) -> Iterator[Iterator[list[str]]]:
    try:
        import xlrd
    except ImportError as exc:
        raise unsupported(
            "Old Excel files need the library xlrd, which is not installed.",
            hint="Install it (pip install 'dify-nodes-document[xls]'), or save the file as xlsx.",
        ) from exc
    try:
        book = xlrd.open_workbook(file_contents=data, on_demand=True)
    except xlrd.XLRDError as exc:
        raise extraction_failed("Excel", exc, hint="Save it as xlsx, without a password.") from exc
    for sheet in book.sheets():
        yield ([_old(xlrd, cell, book.datemode) for cell in sheet.row(number)] for number in range(sheet.nrows))


def _old(xlrd: Any, cell: Any, datemode: int) -> str:
    if cell.ctype == xlrd.XL_CELL_DATE:
        return str(xlrd.xldate_as_datetime(cell.value, datemode))
    if cell.ctype == xlrd.XL_CELL_BOOLEAN:
        return str(bool(cell.value))
    if cell.ctype == xlrd.XL_CELL_ERROR:
        return str(xlrd.error_text_from_code.get(cell.value, ""))
    return _shown(cell.value)


def _shown(value: Any) -> str:
    """A value as text; whole numbers without a fraction."""
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
