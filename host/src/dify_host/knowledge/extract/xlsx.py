"""Reads Excel workbooks: one text a row, `"column":"value"` joined by semicolons."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

from dify_host.knowledge.extract.text import Text

__all__ = ["read_xlsx"]

_HEADER_SEARCH = 10

Row = tuple[int, list[str]]


def read_xlsx(data: bytes) -> list[Text]:
    """Read every sheet, values as last calculated.

    The header is the first of the first ten rows with two filled cells, else the fullest of them.
    """
    import io

    from openpyxl import load_workbook

    book = load_workbook(io.BytesIO(data), read_only=True, data_only=True)
    try:
        return [text for sheet in book.worksheets for text in _sheet(sheet)]
    finally:
        book.close()


def _sheet(sheet: Any) -> Iterator[Text]:
    sheet.reset_dimensions()  # files of other programs often state wrong ones
    rows = ((n, [_show(value) for value in row]) for n, row in enumerate(sheet.iter_rows(values_only=True), 1))
    head: list[Row] = list(islice(rows, _HEADER_SEARCH))
    if not head:
        return
    filled = [sum(1 for value in row if value) for _, row in head]
    at = next((i for i, count in enumerate(filled) if count >= 2), filled.index(max(filled)))
    header = head[at][1]
    for number, row in chain(head[at + 1 :], rows):
        pairs = [(header[i] if i < len(header) else "", value) for i, value in enumerate(row) if value]
        if pairs:
            line = ";".join(f'"{_escape(name)}":"{_escape(value)}"' for name, value in pairs)
            yield Text(text=line, metadata={"sheet": sheet.title, "row": number})


def _show(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _escape(value: str) -> str:
    return value.replace('"', '\\"')
