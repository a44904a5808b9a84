r"""Cuts text into pieces of bounded length, and cleans it before. Pure, in linear time; lengths are characters."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["clean", "cut"]

#: Where a piece that is too long is cut, the best first; then anywhere.
_BREAKS = ("\n\n", "\n", "。", ". ", " ")
_ESCAPE = re.compile(r"\\(n|r|t|\\)")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\"}
_NEWLINES = re.compile(r"\n{3,}")
_BLANKS = re.compile(r"[^\S\n]{2,}")
# Links in Markdown stay whole. No alternative can start twice on the same run of characters.
_ADDRESSES = re.compile(
    r"(?P<link>!?\[[^\[\]\n]*\]\([^()\n]*\))"
    r"|(?<![\w.%+-])[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}"
    r"|https?://[^\s<>\"'`()\[\]{}，。；！？、（）【】《》]+"
)


def clean(text: str, *, spaces: bool, addresses: bool) -> str:
    """The text with runs of blanks and empty lines made one (`spaces`), without URLs and e-mail addresses."""
    if addresses:
        text = _ADDRESSES.sub(lambda match: match["link"] or "", text)
    if spaces:
        text = _BLANKS.sub(" ", _NEWLINES.sub("\n\n", text))
    return text


def cut(text: str, *, delimiter: str, longest: int, overlap: int = 0) -> list[str]:
    r"""Cut at each delimiter, and what is longer than `longest` again, where it reads best. Blank pieces are dropped.

    A delimiter may be typed as in a form (`\n\n`); without one, length alone decides. Only what is cut by length
    repeats characters of the piece before it: at most `overlap`, and never more than half a piece.
    """
    delimiter = _ESCAPE.sub(lambda match: _ESCAPES[match[1]], delimiter)
    pieces: list[str] = []
    for part in text.split(delimiter) if delimiter else [text]:
        pieces += _windows(part.strip(), longest, min(overlap, longest // 2))
    return [piece for piece in pieces if piece]


def _windows(text: str, longest: int, overlap: int) -> Iterator[str]:
    start = 0
    while len(text) - start > longest:
        stop = _break(text, start, start + longest)
        yield text[start:stop].strip()
        start = max(stop - overlap, start + 1)
    yield text[start:].strip()


def _break(text: str, start: int, end: int) -> int:
    """The best place to cut in the second half of a window."""
    half = start + (end - start) // 2
    for mark in _BREAKS:
        found = text.rfind(mark, half, end)
        if found >= 0:
            return found + len(mark)
    return end
