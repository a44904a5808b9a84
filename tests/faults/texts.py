"""What stands in a document: its name says it, so that nobody has to remember."""

from __future__ import annotations

import zlib

__all__ = ["lines_of", "slug", "word_of"]

_MOST = 4


def lines_of(name: str) -> list[str]:
    """One to four lines; the same for a name and its slug."""
    number = 1 + zlib.crc32(slug(name).encode()) % _MOST
    return [f"Line {line} of {slug(name)} says {line * 37}." for line in range(number)]


def slug(name: str) -> str:
    """The name as a part of an address."""
    return name.removesuffix(".txt").replace(" ", "-")


def word_of(name: str) -> str:
    """The word of the call that asked for the document: the name without the number at its end."""
    return name.removesuffix(".txt").rpartition(" ")[0]
