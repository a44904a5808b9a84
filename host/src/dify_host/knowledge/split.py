"""Cuts text into chunks of bounded length, in linear time. Lengths are characters.

Separators stay at the end of the piece they close, so nothing but the user's own separator and white space at the
edges of a chunk is ever dropped.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator

__all__ = ["decode_escapes", "split_fixed", "split_recursive"]

#: From the largest unit to the smallest; after the last one comes the single character.
SEPARATORS = ("\n\n", "。", ". ", " ")

_ESCAPE = re.compile(r"\\(n|r|t|\\|u[0-9a-fA-F]{4})")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\"}


def decode_escapes(separator: str) -> str:
    r"""Return a separator as typed into a form (`\n`, `\t`, `\r`, `\\`, `\uXXXX`) with the characters it means."""
    decoded = _ESCAPE.sub(lambda match: _ESCAPES.get(match[1]) or chr(int(match[1][1:], 16)), separator)
    return decoded.replace("\r\n", "\n").replace("\r", "\n")  # as the lines of all texts end


def split_fixed(text: str, *, separator: str, max_length: int, overlap: int = 0) -> list[str]:
    """Cut at the separator exactly; a part over `max_length` is cut on recursively, with overlap.

    Short parts are not merged: the author of the separator has said where a chunk ends. Blank parts are dropped.
    """
    separator = decode_escapes(separator)
    chunks: list[str] = []
    for part in text.split(separator) if separator else [text]:
        if len(part) <= max_length:
            chunks.append(part.strip())
        else:
            chunks.extend(split_recursive(part, max_length=max_length, overlap=overlap))
    return [chunk for chunk in chunks if chunk]


def split_recursive(text: str, *, max_length: int, overlap: int = 0) -> list[str]:
    """Cut at the largest separator that gives parts that fit, then merge neighbours up to `max_length`.

    A chunk repeats at most `overlap` characters of the one before it, in whole pieces. An overlap over half of
    `max_length` counts as half, so that every chunk brings something new.
    """
    overlap = min(overlap, max_length // 2)
    grain = max(1, (overlap or max_length) // 8)
    return list(_merge(_pieces(text, 0, max_length, grain), max_length, overlap))


def _pieces(text: str, level: int, max_length: int, grain: int) -> Iterator[str]:
    """Yield pieces that fit; joined, they are the text. Each level reads its text once."""
    if level == len(SEPARATORS):
        for start in range(0, len(text), grain):
            yield text[start : start + grain]
        return
    separator = SEPARATORS[level]
    start = 0
    while start < len(text):
        found = text.find(separator, start)
        end = len(text) if found < 0 else found + len(separator)
        if end - start <= max_length:
            yield text[start:end]
        else:
            yield from _pieces(text[start:end], level + 1, max_length, grain)
        start = end


def _merge(pieces: Iterator[str], max_length: int, overlap: int) -> Iterator[str]:
    """Join pieces greedily; after each chunk keep the pieces at its end that the overlap allows."""
    window: deque[str] = deque()
    size = 0
    fresh = False  # whether the window holds more than what was repeated and white space
    for piece in pieces:
        if size + len(piece) > max_length:
            if fresh:
                yield "".join(window).strip()
            fresh = False
            while window and (size > overlap or size + len(piece) > max_length):
                size -= len(window.popleft())
        window.append(piece)
        size += len(piece)
        fresh = fresh or not piece.isspace()
    if fresh:
        yield "".join(window).strip()
