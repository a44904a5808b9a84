"""Finds tables in a page of a PDF by the white space between their columns; in doubt they stay lines of text.

Places of letters cost more than all else of a page. So lines are first looked at as wholes, for one with a wide gap in
it; the letters of that line and of those around it are then measured. A table is read row by row: one whose columns
come one after the other in the file is not told from a page of two columns, and is left as it is.
"""

from __future__ import annotations

import ctypes
import math
import re
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from statistics import median
from typing import Any, Final, NamedTuple

import msgspec

from dify_host.knowledge.extract.pdf_lines import Line
from dify_host.knowledge.extract.pdf_table_signs import Cell, is_table, may_hold_figures

__all__ = ["AlignedTable", "aligned_tables"]

#: Heights of a letter. A gap between pieces of a row, one that makes a line worth a look, and white between columns.
_GAP: Final = 1.0
_WIDE: Final = 1.2
_WHITE: Final = 0.6
#: So many times a space between words must it be white between columns, too: spaces of a typewriter are wide.
_SPACES: Final = 1.5
#: A line whose letters take so much width on average may have a gap in it.
_LOOSE: Final = 0.65
#: So far below its row's may a line be; so much larger than its neighbour's may its letters be.
_STEP: Final = 4.0
_SIZES: Final = 1.6
_LEAST_LETTERS: Final = 3
_LEAST_ROWS: Final = 3
_MOST_ROWS: Final = 200
_COVERED: Final = 0.8
#: How many rows at the top and at the bottom may be no part of the table, which is tried in this order.
_ENDS: Final = ((0, 0), (1, 0), (0, 1), (1, 1), (2, 0), (2, 1))
#: Dots that lead to the number of a page.
_LEADERS: Final = re.compile(r"(?:[.·…_] ?){4}")
_WORD: Final = re.compile(r"[^\s\x00-\x1f]+")


class AlignedTable(NamedTuple):
    """A table, and its letters: from which to which, the latter not included."""

    begin: int
    end: int
    rows: list[list[str]]


class _Word(NamedTuple):
    left: float
    right: float
    text: str


class _Row(msgspec.Struct, frozen=True):
    """A line of the page: its letters, where its middle is, how high they are, and its words from the left."""

    begin: int
    end: int
    y: float
    height: float
    words: list[_Word]

    @property
    def is_parted(self) -> bool:
        """Whether it has a gap as between columns."""
        return any(b.left - a.right >= _GAP * self.height for a, b in pairwise(self.words))


def aligned_tables(content: Any, whole: str, across: Sequence[Line]) -> list[AlignedTable]:
    """The tables of a page, in order; `whole` is its text, `across` the lines that are drawn across it."""
    lines = _Lines(content, whole)
    found: list[AlignedTable] = []
    done = 0
    for seed in lines.seeds():
        if seed < done:
            continue
        first, rows = lines.around(seed, done)
        done = max(seed + 1, first + len(rows))
        table = _table(rows, across) if len(rows) >= _LEAST_ROWS else None
        if table:
            found.append(table)
    return found


# -- lines ---------------------------------------------------------------------------------------------------


class _Lines:
    """The lines of a page, by their numbers."""

    def __init__(self, content: Any, whole: str) -> None:
        import pypdfium2.raw as raw

        self._raw, self._page = raw, content.raw
        texts = whole.split("\r\n")
        starts = accumulate((len(text) + 2 for text in texts), initial=0)
        self._lines = [(text, start) for text, start in zip(texts, starts, strict=False) if text]
        self._even = content.count_chars() == len(whole)
        self._box = raw.FS_RECTF()
        self._at_box = ctypes.byref(self._box)
        self._corners = [ctypes.c_double() for _ in range(4)]
        self._at_corners = [ctypes.byref(corner) for corner in self._corners]
        self._rows: dict[int, _Row | None] = {}
        if sum(len(text) == 1 for text, _ in self._lines) > 1:
            self._join()

    def _join(self) -> None:
        """Put lines at one height together: where a page holds little else, single letters are lines of their own."""
        lines: list[tuple[str, int]] = []
        end = y = 0.0
        for text, start in self._lines:
            left, bottom, _, top = self._place(self._letter(start))
            joined = lines and left > end and abs((top + bottom) / 2 - y) * 2 < top - bottom
            end, y = self._place(self._letter(start + len(text) - 1))[2], (top + bottom) / 2
            if joined:
                lines[-1] = f"{lines[-1][0]}\r\n{text}", lines[-1][1]
            else:
                lines.append((text, start))
        self._lines = lines

    def seeds(self) -> Iterator[int]:
        """Lines with a wide gap, at least one of every table that there may be."""
        if len(self._lines) < _LEAST_ROWS:
            return
        for number in range(1, len(self._lines), _LEAST_ROWS):
            text, start = self._lines[number]
            length = len(text)
            if length < _LEAST_LETTERS:
                continue
            begin = self._letter(start)
            left, bottom, _, top = self._place(begin)
            right = self._place(begin + length - 1)[2]
            if right - left >= _LOOSE * (top - bottom) * length or self._is_torn(begin, length):
                yield number

    def _is_torn(self, begin: int, length: int) -> bool:
        """Whether letters are written in pieces with a wide gap between two: each piece has a rectangle."""
        left, top, right, bottom = self._corners
        last = math.inf
        count = self._raw.FPDFText_CountRects(self._page, begin, length)
        for number in range(count if count > 1 else 0):
            self._raw.FPDFText_GetRect(self._page, number, *self._at_corners)
            if left.value - last >= _WIDE * (top.value - bottom.value):
                return True
            last = right.value
        return False

    def around(self, seed: int, done: int) -> tuple[int, list[_Row]]:
        """The rows below each other to which a line belongs, with the number of the first; none before `done`."""
        middle = self.row(seed)
        if middle is None or not middle.is_parted:
            return seed, []
        above = self._run(middle, range(seed - 1, done - 1, -1))
        below = self._run(middle, range(seed + 1, len(self._lines)))
        return seed - len(above), [*reversed(above), middle, *below]

    def _run(self, start: _Row, numbers: Sequence[int]) -> list[_Row]:
        """The rows that go on from one. A line without a gap is one of them when a row follows, and it is short."""
        rows: list[_Row] = []
        waiting: list[_Row] = []
        before = start
        for number in numbers:
            row = self.row(number)
            if row is None or len(rows) >= _MOST_ROWS or not _follows(before, row):
                break
            before = row
            if not row.is_parted:
                if waiting:
                    break
                waiting = [row]
                continue
            if waiting and len(_columns([start, *rows, *waiting])) < len(_columns([start, *rows])):
                break
            rows += [*waiting, row]
            waiting = []
        return rows

    def row(self, number: int) -> _Row | None:
        """A line with its words; None when it does not go from left to right at one height, or is of a contents."""
        if number not in self._rows:
            self._rows[number] = self._read(number)
        return self._rows[number]

    def _read(self, number: int) -> _Row | None:
        text, start = self._lines[number]
        if _LEADERS.search(text):
            return None
        words: list[_Word] = []
        y = height = 0.0
        for found in _WORD.finditer(text):
            left, bottom, _, top = self._place(self._letter(start + found.start()))
            right = self._place(self._letter(start + found.end() - 1))[2]
            if top <= bottom or right < left:
                continue
            if not words:
                y, height = (top + bottom) / 2, top - bottom
            elif abs((top + bottom) / 2 - y) > height or left < words[-1].right - height:
                return None
            words.append(_Word(left, right, found[0]))
        begin, end = self._letter(start), self._letter(start + len(text) - 1) + 1
        return _Row(begin, end, y, height, words) if words and begin < end else None

    def _place(self, index: int) -> tuple[float, float, float, float]:
        """Left, bottom, right, top of a letter, with the room that its font gives it."""
        box = self._box
        self._raw.FPDFText_GetLooseCharBox(self._page, index, self._at_box)
        return box.left, box.bottom, box.right, box.top

    def _letter(self, place: int) -> int:
        """The number of the letter at a place of the text; a text may leave letters out."""
        if self._even:
            return place
        return max(int(self._raw.FPDFText_GetCharIndexFromTextIndex(self._page, place)), 0)


def _follows(before: _Row, row: _Row) -> bool:
    """Whether two lines are near each other, not at one height, and of about one size."""
    small, large = sorted((before.height, row.height))
    return small * _SIZES >= large and 0.3 * large <= abs(before.y - row.y) <= _STEP * small


# -- columns -------------------------------------------------------------------------------------------------


def _table(rows: Sequence[_Row], across: Sequence[Line]) -> AlignedTable | None:
    """The table that rows are, perhaps without a first or last one that stands across its columns."""
    if not across and not may_hold_figures([word.text for word in row.words] for row in rows):
        return None
    best: AlignedTable | None = None
    most = 1
    for top, bottom in _ENDS:
        part = rows[top : len(rows) - bottom]
        if len(part) < _LEAST_ROWS or not (part[0].is_parted and part[-1].is_parted):
            continue
        columns = _columns(part)
        if len(columns) <= most:
            continue
        most = len(columns)
        grid = [[_cell(row, *column) for column in columns] for row in part]
        if is_table(grid, columns, median(row.height for row in part), _ruled_rows(part, columns, across)):
            texts = [[cell.text for cell in row] for row in grid]
            best = AlignedTable(part[0].begin, part[-1].end, texts)
    return best


def _columns(rows: Sequence[_Row]) -> list[tuple[float, float]]:
    """From where to where columns go: between them it is white in all rows."""
    gaps = [b.left - a.right for row in rows for a, b in pairwise(row.words)]
    height = median(row.height for row in rows)
    spaces = [gap for gap in gaps if gap < _GAP * height]
    white = max(_WHITE * height, _SPACES * median(spaces) if spaces else 0.0)
    found: list[tuple[float, float]] = []
    for left, right in sorted((word.left, word.right) for row in rows for word in row.words):
        if found and left - found[-1][1] < white:
            found[-1] = found[-1][0], max(found[-1][1], right)
        else:
            found.append((left, right))
    return found


def _cell(row: _Row, left: float, right: float) -> Cell:
    words = [word for word in row.words if left <= (word.left + word.right) / 2 <= right]
    if not words:
        return Cell(left, left, "")
    return Cell(words[0].left, words[-1].right, " ".join(word.text for word in words))


def _ruled_rows(rows: Sequence[_Row], columns: Sequence[tuple[float, float]], across: Sequence[Line]) -> set[int]:
    """Below which rows a line is drawn that goes over the whole width of the table and not far beyond."""
    left, right = columns[0][0], columns[-1][1]
    far = 3 * rows[0].height
    whole = [
        line.at
        for line in across
        if min(line.end, right) - max(line.start, left) >= _COVERED * (right - left)
        and line.start >= left - far
        and line.end <= right + far
    ]
    return {number for number, (a, b) in enumerate(pairwise(rows)) if any(b.y < at < a.y for at in whole)}
