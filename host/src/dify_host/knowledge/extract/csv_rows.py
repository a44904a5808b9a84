"""Reads CSV: one text a row, `column: value` joined by semicolons."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterator, Sequence

from dify_host.knowledge.extract.text import Text, decode

__all__ = ["read_csv"]

#: Lines that open quotes swallow are read again, so many times all lines; after that, quotes are letters.
_MOST_TIMES = 20
#: A first line by which spreadsheets tell each other what stands between the values.
_TOLD = re.compile(r"sep=([^\r\n\"])(?:\r\n|\n|\r)", re.IGNORECASE)
_QUOTED = re.compile('"[^"]*"')


def read_csv(data: bytes) -> list[Text]:
    """Read the rows below the header; values beyond the header are kept without a name, blank rows are dropped.

    A header that no row follows is a text of its own. A quote that none closes, or one in the middle of another
    line's value, is a letter: it swallows no line below it.
    """
    csv.field_size_limit(sys.maxsize)
    content = decode(data)
    told = _TOLD.match(content)
    content = content[told.end() :] if told else content
    first = _QUOTED.sub("", content.lstrip("\r\n").split("\n", 1)[0])
    delimiter = told[1] if told else max(",;\t|", key=first.count)
    header: list[str] = []
    texts = []
    line = 0
    for row, line in _rows(list(io.StringIO(content, newline="")), delimiter):
        if not any(value.strip() for value in row):
            continue
        if not header:
            header = [value.strip() for value in row]
            continue
        texts.append(Text(text=_line(header, row), metadata={"row": line}))
    if header and not texts:
        return [Text(text=";".join(filter(None, header)), metadata={"row": line})]
    return texts


def _rows(lines: Sequence[str], delimiter: str) -> Iterator[tuple[list[str], int]]:
    """The rows with the number of their last line, from 1."""
    start, spent = 0, 0
    while start < len(lines) and spent <= _MOST_TIMES * len(lines):
        before, reader = start, csv.reader(map(lines.__getitem__, range(start, len(lines))), delimiter=delimiter)
        for row in reader:
            end = start + reader.line_num
            if end - before > 1 and not _is_closed(lines[before:end], delimiter):
                spent += end - before
                break
            yield row, end
            before = end
        else:
            return
        yield from _plain(lines[before : before + 1], delimiter, before)
        start = before + 1
    yield from _plain(lines[start:], delimiter, start)


def _plain(lines: Sequence[str], delimiter: str, start: int) -> Iterator[tuple[list[str], int]]:
    """Rows in which a quote is a letter."""
    reader = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    for row in reader:
        yield row, start + reader.line_num


def _is_closed(lines: Sequence[str], delimiter: str) -> bool:
    """Whether a row over several lines ends with them, its quotes next to delimiters."""
    try:
        return len(list(csv.reader(lines, delimiter=delimiter, strict=True))) == 1
    except csv.Error:
        return False


def _line(header: list[str], row: list[str]) -> str:
    named = [f"{name}: {value.strip()}" if name else value.strip() for name, value in zip(header, row, strict=False)]
    return ";".join(named + [value.strip() for value in row[len(header) :] if value.strip()])
