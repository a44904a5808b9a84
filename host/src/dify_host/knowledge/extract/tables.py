"""Writes tables as Markdown, and rows of sheets as texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

from dify_host.knowledge.extract.text import Text

__all__ = ["Row", "markdown_table", "sheet_texts"]

#: The number of a row, counted from 1, and its cells.
Row = tuple[int, list[str]]
_HEADER_SEARCH = 10


def markdown_table(rows: Iterable[Sequence[str]]) -> str:
    """Rows as a table, the first as its head; "" when no cell holds anything. Cells keep to one line."""
    lines = [[" ".join(text.split()).replace("|", "\\|") for text in row] for row in rows]
    if not any(text for line in lines for text in line):
        return ""
    width = max(len(line) for line in lines)
    written = ["| " + " | ".join(line + [""] * (width - len(line))) + " |" for line in lines]
    written.insert(1, "|" + " --- |" * width)
    return "\n".join(written)


def sheet_texts(sheet: str, rows: Iterator[Row]) -> Iterator[Text]:
    """One text a row, `"column":"value"` joined by semicolons; empty rows and cells are dropped.

    The header is the first of the first ten rows with two filled cells, else the fullest of them. One that nothing
    follows is a text of its own.
    """
    head = list(islice(rows, _HEADER_SEARCH))
    if not head:
        return
    filled = [sum(1 for value in row if value) for _, row in head]
    at = next((i for i, count in enumerate(filled) if count >= 2), filled.index(max(filled)))
    header = head[at][1]
    empty = True
    for number, row in chain(head[at + 1 :], rows):
        pairs = [(header[i] if i < len(header) else "", value) for i, value in enumerate(row) if value]
        if pairs:
            line = ";".join(f'"{_escape(name)}":"{_escape(value)}"' for name, value in pairs)
            yield Text(text=line, metadata={"sheet": sheet, "row": number})
            empty = False
    if empty and any(header):
        line = ";".join(f'"{_escape(value)}"' for value in header if value)
        yield Text(text=line, metadata={"sheet": sheet, "row": head[at][0]})


def _escape(value: str) -> str:
    return value.replace('"', '\\"')
