"""Finds tables in a page of a PDF by the lines that rule them: grids that are whole, and no others.

A page says nothing of tables; it has lines, and letters at places. What is not ruled on all sides of all cells is left
as the lines of text that it is, as is a grid in which a word stands across a line.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

import msgspec

from dify_host.knowledge.extract.tables import markdown_table

__all__ = ["page_text"]

#: Points (1/72 inch): so far apart two lines are one, so far from another's end a line still meets it.
_NEAR: Final = 3.0
_SHORTEST: Final = 6.0
#: Pages with more lines are drawings.
_MOST_LINES: Final = 1500
_MOST_CELLS: Final = 5000
_COVERED: Final = 0.9
_FILLED: Final = 0.5


class _Line(msgspec.Struct, frozen=True):
    """A line along an axis: where it is across, and from where to where it goes along."""

    at: float
    start: float
    end: float


class _Table(msgspec.Struct, frozen=True):
    """A grid: its columns' borders from the left, its rows' from the top, and its texts row by row."""

    xs: list[float]
    ys: list[float]
    rows: list[list[str]]

    def has(self, x: float, y: float) -> bool:
        """Whether a point is in it."""
        return self.xs[0] <= x <= self.xs[-1] and self.ys[-1] <= y <= self.ys[0]


def page_text(page: Any, content: Any) -> str:
    """The text of a page, its tables as Markdown at the places where they stand."""
    tables = _tables(page, content)
    whole: str = content.get_text_range()
    if not tables:
        return whole
    pieces: list[str] = []
    begin, inside = 0, -1
    written: set[int] = set()
    number = content.count_chars()
    for index in range(number + 1):
        now = _table_of(content, index, tables, inside) if index < number else -1
        if now == inside and index < number:
            continue
        if inside == -1:
            pieces.append(content.get_text_range(begin, index - begin).strip("\r\n") if index > begin else "")
        elif inside not in written:
            written.add(inside)
            pieces.append(markdown_table(tables[inside].rows))
        begin, inside = index, now
    return "\n\n".join(piece for piece in pieces if piece)


def _table_of(content: Any, index: int, tables: Sequence[_Table], before: int) -> int:
    """The table that a letter is in, -1 for none; a space is where the letter before it is."""
    left, bottom, right, top = content.get_charbox(index, loose=True)
    if right - left <= 0 or top - bottom <= 0:
        return before
    x, y = (left + right) / 2, (bottom + top) / 2
    return next((number for number, table in enumerate(tables) if table.has(x, y)), -1)


def _tables(page: Any, content: Any) -> list[_Table]:
    across, down = _lines(page)
    if len(across) < 3 or len(down) < 3 or len(across) + len(down) > _MOST_LINES:
        return []
    found = []
    for rows, columns in _groups(across, down):
        ys, xs = sorted(_places(rows), reverse=True), sorted(_places(columns))
        if len(xs) < 3 or len(ys) < 3 or (len(xs) - 1) * (len(ys) - 1) > _MOST_CELLS:
            continue
        if _is_ruled(xs, ys, rows, columns) and (texts := _texts(content, xs, ys)):
            found.append(_Table(xs, ys, texts))
    return found


# -- lines ---------------------------------------------------------------------------------------------------


def _lines(page: Any) -> tuple[list[_Line], list[_Line]]:
    """The lines that go across and down. A filled path counts when it is thin, as it is then a line."""
    import pypdfium2.raw as raw

    across: list[_Line] = []
    down: list[_Line] = []
    for item in page.get_objects(filter=[raw.FPDF_PAGEOBJ_PATH], max_depth=1):
        fill, stroke = ctypes.c_int(), ctypes.c_int()
        raw.FPDFPath_GetDrawMode(item, fill, stroke)
        left, bottom, right, top = item.get_bounds()
        if not stroke.value and (not fill.value or min(right - left, top - bottom) > _NEAR):
            continue
        for (x1, y1), (x2, y2) in _segments(item):
            if abs(y1 - y2) <= 1 and abs(x1 - x2) >= _SHORTEST:
                across.append(_Line((y1 + y2) / 2, min(x1, x2), max(x1, x2)))
            elif abs(x1 - x2) <= 1 and abs(y1 - y2) >= _SHORTEST:
                down.append(_Line((x1 + x2) / 2, min(y1, y2), max(y1, y2)))
        if len(across) + len(down) > _MOST_LINES:
            break
    return across, down


def _segments(item: Any) -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
    """The straight pieces of a path, in points of the page; a path with a curve has none."""
    import pypdfium2.raw as raw

    matrix = item.get_matrix()
    first = last = (0.0, 0.0)
    found = []
    for number in range(min(raw.FPDFPath_CountSegments(item), 4 * _MOST_LINES)):
        piece = raw.FPDFPath_GetPathSegment(item, number)
        x, y = ctypes.c_float(), ctypes.c_float()
        raw.FPDFPathSegment_GetPoint(piece, x, y)
        point = matrix.on_point(x.value, y.value)
        kind = raw.FPDFPathSegment_GetType(piece)
        if kind == raw.FPDF_SEGMENT_BEZIERTO:
            return
        if kind == raw.FPDF_SEGMENT_MOVETO:
            first = point
        else:
            found.append((last, point))
        if raw.FPDFPathSegment_GetClose(piece):
            found.append((point, first))
        last = point
    yield from found


# -- grids ---------------------------------------------------------------------------------------------------


def _groups(across: Sequence[_Line], down: Sequence[_Line]) -> Iterator[tuple[list[_Line], list[_Line]]]:
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


def _meet(across: _Line, down: _Line) -> bool:
    return across.start - _NEAR <= down.at <= across.end + _NEAR and down.start - _NEAR <= across.at <= down.end + _NEAR


def _places(lines: Sequence[_Line]) -> list[float]:
    """Where lines are, those that are near each other once."""
    found: list[float] = []
    for place in sorted(line.at for line in lines):
        if not found or place - found[-1] > _NEAR:
            found.append(place)
    return found


def _is_ruled(xs: Sequence[float], ys: Sequence[float], rows: Sequence[_Line], columns: Sequence[_Line]) -> bool:
    """Whether every side of every cell is drawn."""
    sides_across = all(_covers(rows, y, left, right) for y in ys for left, right in pairwise(xs))
    return sides_across and all(_covers(columns, x, bottom, top) for x in xs for top, bottom in pairwise(ys))


def _covers(lines: Sequence[_Line], at: float, start: float, end: float) -> bool:
    """Whether one line at a place goes along nearly all of a stretch."""
    return any(
        abs(line.at - at) <= _NEAR and min(line.end, end) - max(line.start, start) >= _COVERED * (end - start)
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
