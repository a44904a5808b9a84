"""Reads CSV: one text a row, `column: value` joined by semicolons."""

from __future__ import annotations

import csv
import io
import sys

from dify_host.knowledge.extract.text import Text, decode

__all__ = ["read_csv"]


def read_csv(data: bytes) -> list[Text]:
    """Read the rows below the header; values beyond the header are kept without a name, blank rows are dropped."""
    csv.field_size_limit(sys.maxsize)
    content = decode(data)
    first = content.lstrip("\r\n").split("\n", 1)[0]
    delimiter = max(",;\t|", key=first.count)
    rows = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter)
    header: list[str] = []
    texts = []
    for row in rows:
        if not any(value.strip() for value in row):
            continue
        if not header:
            header = [value.strip() for value in row]
            continue
        texts.append(Text(text=_line(header, row), metadata={"row": rows.line_num}))
    return texts


def _line(header: list[str], row: list[str]) -> str:
    named = [f"{name}: {value.strip()}" if name else value.strip() for name, value in zip(header, row, strict=False)]
    return ";".join(named + [value.strip() for value in row[len(header) :] if value.strip()])
