"""The straight lines that a page of a PDF draws: what rules its tables."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

__all__ = ["MOST_LINES", "NEAR", "Line", "drawn_lines"]

#: Points (1/72 inch): so far apart two lines are one, so far from another's end a line still meets it.
NEAR: Final = 3.0
#: Pages with more lines are drawings.
MOST_LINES: Final = 1500
_SHORTEST: Final = 6.0


class Line(msgspec.Struct, frozen=True):
    """A line along an axis: where it is across, and from where to where it goes along."""

    at: float
    start: float
    end: float


def drawn_lines(paths: Iterable[Any]) -> tuple[list[Line], list[Line]]:
    """The lines of paths that go across and down. A filled path counts when it is thin, as it is then a line."""
    import pypdfium2.raw as raw

    across: list[Line] = []
    down: list[Line] = []
    for item in paths:
        fill, stroke = ctypes.c_int(), ctypes.c_int()
        raw.FPDFPath_GetDrawMode(item, fill, stroke)
        left, bottom, right, top = item.get_bounds()
        if not stroke.value and (not fill.value or min(right - left, top - bottom) > NEAR):
            continue
        for (x1, y1), (x2, y2) in _segments(item):
            if abs(y1 - y2) <= 1 and abs(x1 - x2) >= _SHORTEST:
                across.append(Line((y1 + y2) / 2, min(x1, x2), max(x1, x2)))
            elif abs(x1 - x2) <= 1 and abs(y1 - y2) >= _SHORTEST:
                down.append(Line((x1 + x2) / 2, min(y1, y2), max(y1, y2)))
        if len(across) + len(down) > MOST_LINES:
            break
    return across, down


def _segments(item: Any) -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
    """The straight pieces of a path, in points of the page; a path with a curve has none."""
    import pypdfium2.raw as raw

    matrix = item.get_matrix()
    first = last = (0.0, 0.0)
    found = []
    for number in range(min(raw.FPDFPath_CountSegments(item), 4 * MOST_LINES)):
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
