"""What extraction gives, and how bytes become text."""

from __future__ import annotations

import msgspec

__all__ = ["MAX_SAMPLE", "Text", "decode", "read_text"]

#: The most bytes that guessing an encoding looks at.
MAX_SAMPLE = 1024 * 1024

_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


class Text(msgspec.Struct, kw_only=True):
    """One text of a document and where it stood: `page`, `sheet` and `row` count from 1."""

    text: str
    metadata: dict[str, str | int] = {}


def decode(data: bytes) -> str:
    """Decode by byte-order mark, as UTF-8, or by the most likely encoding; bad bytes become U+FFFD."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode(_guess(data[:MAX_SAMPLE]), "replace")


def read_text(data: bytes) -> list[Text]:
    """Read a plain text as one text."""
    return [Text(text=decode(data).replace("\r\n", "\n"))]


def _guess(sample: bytes) -> str:
    from charset_normalizer import from_bytes

    best = from_bytes(sample).best()
    return best.encoding if best else "utf-8"
