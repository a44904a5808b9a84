"""Finds tables in a page of a PDF by the lines that rule them, grids that are whole, and writes them where they stand.

A page says nothing of tables; it has lines, and letters at places. A grid in which a word stands across a line is none.
What is not ruled on all sides of all cells may still be a table by its white space (`pdf_columns`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

import msgspec

from dify_host.knowledge.extract.pdf_columns import aligned_tables
from dify_host.knowledge.extract.pdf_lines import MOST_LINES, NEAR, Line, drawn_lines
from dify_host.knowledge.extract.tables import markdown_table

__all__ = ["page_text"]

_MOST_CELLS: Final = 5000
_COVERED: Final = 0.9
_FILLED: Final = 0.5

#: From which letter to which, and what stands there instead.
_Span = tuple[int, int, str]


class _Table(msgspec.Struct, frozen=True):
    """A grid: its columns' borders from the left, its rows' from the top, and its texts row by row."""

    xs: list[float]
    ys: list[float]
    rows: list[list[str]]

    def has(self, x: float, y: float) -> bool:
        """Whether a point is in it."""
        return self.xs[0] <= x <= self.xs[-1] and self.ys[-1] <= y <= self.ys[0]


def page_text(content: Any, paths: Iterable[Any]) -> str:
    """The text of a page that draws these paths, its tables as Markdown at the places where they stand."""
    across, down = drawn_lines(paths)
    spans = _ruled(content, _tables(content, across, down))
    whole: str = content.get_text_range()
    for table in aligned_tables(content, whole, across):
        if all(table.end <= begin or end <= table.begin for begin, end, _ in spans):
            spans.append((table.begin, table.end, markdown_table(table.rows)))
    if not spans:
        return whole
    pieces: list[str] = []
    place = 0
    for begin, end, shown in sorted(spans):
        pieces += [_words(content, place, begin), shown]
        place = end
    pieces.append(_words(content, place, content.count_chars()))
    return "\n\n".join(piece for piece in pieces if piece)


def _words(content: Any, begin: int, end: int) -> str:
    text: str = content.get_text_range(begin, end - begin) if end > begin else ""
    return text.strip("\r\n")


def _ruled(content: Any, tables: Sequence[_Table]) -> list[_Span]:
    """Where letters of ruled tables are; a table stands at the first of its places."""
    spans: list[_Span] = []
    begin, inside = 0, -1
    written: set[int] = set()
    number = content.count_chars() if tables else 0
    for index in range(number + 1 if tables else 0):
        now = _table_of(content, index, tables, inside) if index < number else -1
        if now == inside:
            continue
        if inside != -1:
            spans.append((begin, index, "" if inside in written else markdown_table(tables[inside].rows)))
            written.add(inside)
        begin, inside = index, now
    return spans


def _table_of(content: Any, index: int, tables: Sequence[_Table], before: int) -> int:
    """The table that a letter is in, -1 for none; a space is where the letter before it is."""
    left, bottom, right, top = content.get_charbox(index, loose=True)
    if right - left <= 0 or top - bottom <= 0:
        return before
    x, y = (left + right) / 2, (bottom + top) / 2
    return next((number for number, table in enumerate(tables) if table.has(x, y)), -1)


def _tables(content: Any, across: Sequence[Line], down: Sequence[Line]) -> list[_Table]:
    """The grids that are whole."""
    if len(across) < 3 or len(down) < 3 or len(across) + len(down) > MOST_LINES:
        return []
    found = []
    for rows, columns in _groups(across, down):
        ys, xs = sorted(_places(rows), reverse=True), sorted(_places(columns))
        if len(xs) < 3 or len(ys) < 3 or (len(xs) - 1) * (len(ys) - 1) > _MOST_CELLS:
            continue
        if _is_ruled(xs, ys, rows, columns) and (texts := _texts(content, xs, ys)):
            found.append(_Table(xs, ys, texts))
    return found


# -- grids ---------------------------------------------------------------------------------------------------


def _groups(across: Sequence[Line], down: Sequence[Line]) -> Iterator[tuple[list[Line], list[Line]]]:
    """The lines that meet each other, directly or over others."""
    left = set(range(len(down)))
    waiting = set(range(len(across)))
    while waiting:
        rows, columns, edge = set[int](), set[int](), [waiting.pop()]
        while edge:
            row = edge.pop()
            rows.add(row)
            met = {number for number in left if _meet(across[row], down[number])}
            left -= met
            columns |= met
            more = {other for other in waiting if any(_meet(across[other], down[number]) for number in met)}
            waiting -= more
            edge += more
        if columns:
            yield [across[number] for number in rows], [down[number] for number in columns]


def _meet(across: Line, down: Line) -> bool:
    return across.start - NEAR <= down.at <= across.end + NEAR and down.start - NEAR <= across.at <= down.end + NEAR


def _places(lines: Sequence[Line]) -> list[float]:
    """Where lines are, those that are near each other once."""
    found: list[float] = []
    for place in sorted(line.at for line in lines):
        if not found or place - found[-1] > NEAR:
            found.append(place)
    return found


def _is_ruled(xs: Sequence[float], ys: Sequence[float], rows: Sequence[Line], columns: Sequence[Line]) -> bool:
    """Whether every side of every cell is drawn."""
    sides_across = all(_covers(rows, y, left, right) for y in ys for left, right in pairwise(xs))
    return sides_across and all(_covers(columns, x, bottom, top) for x in xs for top, bottom in pairwise(ys))


def _covers(lines: Sequence[Line], at: float, start: float, end: float) -> bool:
    """Whether one line at a place goes along nearly all of a stretch."""
    return any(
        abs(line.at - at) <= NEAR and min(line.end, end) - max(line.start, start) >= _COVERED * (end - start)
        for line in lines
    )


def _texts(content: Any, xs: Sequence[float], ys: Sequence[float]) -> list[list[str]]:
    """The texts of the cells; none when a word stands across a line, or too few cells have any."""
    rows = [
        [
            " ".join(content.get_text_bounded(left=left, bottom=bottom, right=right, top=top).split())
            for left, right in pairwise(xs)
        ]
        for top, bottom in pairwise(ys)
    ]
    cells = [cell for row in rows for cell in row]
    whole = content.get_text_bounded(left=xs[0], bottom=ys[-1], right=xs[-1], top=ys[0])
    if sorted(" ".join(cells).split()) != sorted(whole.split()):
        return []
    return rows if sum(map(bool, cells)) >= _FILLED * len(cells) else []
