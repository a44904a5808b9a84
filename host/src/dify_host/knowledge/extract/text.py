"""What extraction gives, and how bytes become text."""

from __future__ import annotations

import msgspec

__all__ = ["MAX_SAMPLE", "Text", "decode", "encoding_of", "read_text"]

#: The most bytes that guessing an encoding looks at.
MAX_SAMPLE = 1024 * 1024

#: UTF-16 without a mark is told by the first bytes: at least one of so many is a zero.
_SHOWN, _ZEROS = 8192, 16
_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)


class Text(msgspec.Struct, kw_only=True):
    """One text of a document and where it stood: `page`, `slide`, `sheet`, `row` and the like count from 1."""

    text: str
    metadata: dict[str, str | int] = {}


def decode(data: bytes) -> str:
    """Decode by byte-order mark, as UTF-8, or by the most likely encoding; bad bytes become U+FFFD."""
    encoding = encoding_of(data)
    if encoding:
        return data.decode(encoding, "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode(_guess(data[:MAX_SAMPLE]), "replace")


def encoding_of(data: bytes) -> str:
    """The encoding that the first bytes show: by a mark, or UTF-16 whose zeros all stand on one side; "" if none."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return encoding
    sample = data[:_SHOWN]
    if len(data) % 2 == 0 and sample.count(0) * _ZEROS > len(sample):
        if 0 not in sample[0::2]:
            return "utf-16-le"
        if 0 not in sample[1::2]:
            return "utf-16-be"
    return ""


def read_text(data: bytes) -> list[Text]:
    """Read a plain text as one text."""
    return [Text(text=decode(data).replace("\r\n", "\n"))]


def _guess(sample: bytes) -> str:
    from charset_normalizer import from_bytes

    best = from_bytes(sample).best()
    return best.encoding if best else "utf-8"
