"""Tells a table from what only stands in columns: pages of two columns, contents, lists, addresses, code.

A table is believed when a column of it holds figures, or when a line is drawn below its head.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from statistics import mean
from typing import Final, NamedTuple

__all__ = ["Cell", "is_table", "may_hold_figures"]

#: Shares of the cells of a table, of a column, of the rows below the head that have a figure in one column.
_FULL: Final = 0.6
_FULL_COLUMN: Final = 0.4
_FIGURES: Final = 0.6
#: Shares of the cells of a column: what it is said to be, most of them are.
_MOST: Final = 0.8
#: Words of a cell, and the share of its column's width, from which a column reads like one of prose.
_PROSE_WORDS, _PROSE_WIDTH = 3.0, 0.7
_CODE_SHARE: Final = 0.2
#: Heights of a letter that edges of cells may be apart.
_EDGE: Final = 0.4
_LEAST_OF_TWO: Final = 4
#: Letters of a figure.
_LONGEST: Final = 32

_FIGURE = re.compile(r"[-+−–±~≈<>≤≥(]?\s?[$€£¥₹]?\s?\d[\d\s.,:/'’%‰°±×x()+−–*-]*[^\W\d_]{0,3}[\d%)*]*")
_NOTHING: Final = frozenset(("-", "–", "—", "−", "n/a", "N/A", "n.a.", "*", "…"))
_CODE = re.compile(r"[{};]$|^[{}#]|^//|/\*|[=!<>]=|[-=]>|:=|\w\(\)|^=\s|^=+$|\w\s=\s\w")
_MARK = re.compile(r"[^\w\s]{1,2}|[(\[]?(?:\d{1,4}|[A-Za-z]{1,4})[.)\]]")
_ROMAN = re.compile(r"[ivxl]{1,7}")
_DIGIT = re.compile(r"\d")
_LETTER = re.compile(r"[^\W\d_]")


class Cell(NamedTuple):
    """What stands in a place of a table, and from where to where."""

    left: float
    right: float
    text: str


def is_table(
    grid: Sequence[Sequence[Cell]], columns: Sequence[tuple[float, float]], height: float, ruled: set[int]
) -> bool:
    """Whether rows are a table. `height` is that of a letter, `ruled` the rows below which a line is drawn."""
    cells = [list(column) for column in zip(*grid, strict=True)]
    by_column = [[cell.text for cell in column] for column in cells]
    if not _is_full(by_column) or _is_code(by_column) or _is_list(by_column):
        return False
    headed = 0 in ruled
    if len(columns) == 2 and not headed and len(grid) < _LEAST_OF_TWO:
        return False
    if not headed and (_is_contents(by_column) or not _has_figures(by_column)):
        return False
    prose = sum(_is_prose(column, right - left) for column, (left, right) in zip(cells, columns, strict=True))
    if prose > 1 or prose == len(columns):
        return False
    return all(
        _are_figures(texts) or _is_aligned(column[1:], height) for texts, column in zip(by_column, cells, strict=True)
    )


def may_hold_figures(rows: Iterable[Sequence[str]]) -> bool:
    """Whether enough rows have a digit for a column of figures; the head and three rows at the ends need none."""
    digits = [any(map(_DIGIT.search, words)) for words in rows]
    return sum(digits) >= max(2, _FIGURES * (len(digits) - 4))


def _is_full(columns: Sequence[Sequence[str]]) -> bool:
    shares = [mean(map(bool, column)) for column in columns]
    return mean(shares) >= _FULL and min(shares) >= _FULL_COLUMN


def _is_code(columns: Sequence[Sequence[str]]) -> bool:
    """Whether many cells have signs of code."""
    filled = [text for column in columns for text in column if text]
    return sum(1 for text in filled if _CODE.search(text)) > _CODE_SHARE * len(filled)


def _is_list(columns: Sequence[Sequence[str]]) -> bool:
    """Whether a first column of marks or of lines' numbers stands before texts."""
    first = [text for text in columns[0] if text]
    marked = sum(1 for text in first if _MARK.fullmatch(text)) >= _MOST * len(first) or _counts(first)
    return marked and not any(_are_figures(column) for column in columns[1:])


def _is_contents(columns: Sequence[Sequence[str]]) -> bool:
    """Whether titles stand before numbers of pages, which never go back."""
    if len(columns) > 3:
        return False
    last = [text for text in columns[-1] if text]
    numbers = [number for text in last if (number := _number(text)) is not None]
    titled = [text for text in columns[-2] if text]
    named = sum(1 for text in titled if _LETTER.search(text)) >= _MOST * len(titled)
    rises = all(a <= b for a, b in pairwise(numbers))
    return named and rises and len(numbers) + 1 >= len(last) and len(numbers) >= 2


def _number(text: str) -> int | None:
    """The number that a page or a formula may have; small Roman ones are before all others."""
    text = text.strip("()[].: ")
    if text.isdecimal() and len(text) <= _LONGEST:
        return int(text)
    return 0 if _ROMAN.fullmatch(text.lower()) else None


def _has_figures(columns: Sequence[Sequence[str]]) -> bool:
    """Whether a column holds figures below its head, and does not only count; of two columns it is the last."""
    wanted = columns[1:] if len(columns) == 2 else columns
    return any(_are_figures(column) and not _counts(column[1:]) for column in wanted)


def _are_figures(column: Sequence[str]) -> bool:
    """Whether the cells below the head are figures, and enough of them are filled."""
    filled = [text for text in column[1:] if text]
    figures = sum(1 for text in filled if len(text) <= _LONGEST and _FIGURE.fullmatch(text))
    nothing = sum(1 for text in filled if text in _NOTHING)
    return figures >= _FIGURES * len(column[1:]) and figures + nothing >= _MOST * len(filled)


def _counts(texts: Sequence[str]) -> bool:
    """Whether numbers go up by one."""
    numbers = [_number(text) for text in texts if text]
    if len(numbers) < 2 or None in numbers:
        return False
    return all(a is not None and b == a + 1 for a, b in pairwise(numbers))


def _is_prose(cells: Sequence[Cell], width: float) -> bool:
    """Whether cells are lines of many words that fill their column."""
    filled = [cell for cell in cells if cell.text]
    words = mean(len(cell.text.split()) for cell in filled)
    return words >= _PROSE_WORDS and mean(cell.right - cell.left for cell in filled) >= _PROSE_WIDTH * width


def _is_aligned(cells: Sequence[Cell], height: float) -> bool:
    """Whether most cells begin, end or have their middle at one place."""
    filled = [cell for cell in cells if cell.text]
    needed = math.ceil(_MOST * len(filled))
    for edges in (
        sorted(cell.left for cell in filled),
        sorted(cell.right for cell in filled),
        sorted((cell.left + cell.right) / 2 for cell in filled),
    ):
        if any(last - first <= 2 * _EDGE * height for first, last in zip(edges, edges[needed - 1 :], strict=False)):
            return True
    return not filled
