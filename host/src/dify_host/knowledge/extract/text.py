"""What extraction gives, and how bytes become text."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable

import msgspec

__all__ = ["MAX_SAMPLE", "Text", "decode", "encoding_of", "read_text", "with_newlines"]

#: The most bytes that guessing an encoding looks at.
MAX_SAMPLE = 1024 * 1024

#: UTF-16 without a mark is told by so many first bytes: their zeros stand on one side, and no text holds these.
_SHOWN = 8192
_NO_TEXT = re.compile(r"[\x00-\x08\x0e-\x1f\ufffe\uffff]")
_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
#: How Japanese mail switches its letters: in bytes that are UTF-8 too, and mean nothing there.
_SWITCHES = (b"\x1b$B", b"\x1b$@")
#: What browsers read under a narrower name, because that is what people write under it.
_READ_AS = {
    **dict.fromkeys(("ascii", "iso8859-1"), "cp1252"),
    **dict.fromkeys(("gb2312", "gbk"), "gb18030"),
    **{"shift_jis": "cp932", "euc_kr": "cp949", "big5": "cp950", "iso8859-9": "cp1254", "tis-620": "cp874"},
}
#: Letters beyond ASCII, and how many of them make up for a fault.
_BEYOND, _LETTERS_A_FAULT = re.compile(r"[^\x00-\x7f\ufffd]"), 5
#: Beginnings of those whose letters take several bytes; such bytes may look like UTF-8, and a name is believed.
_WIDE = ("gb", "big5", "cp932", "cp949", "cp950", "euc", "shift", "iso2022", "hz", "johab", "utf-7")
#: What a guess may say: encodings that texts without a mark are found in.
_GUESSED = (
    *("utf_8", "gb18030", "big5", "cp932", "euc_jp", "cp949", "johab", "koi8_r", "cp866", "iso8859_2", "cp874"),
    *(f"cp125{number}" for number in range(9)),
)


class Text(msgspec.Struct, kw_only=True):
    """One text of a document and where it stood: `page`, `slide`, `sheet`, `row` and the like count from 1."""

    text: str
    metadata: dict[str, str | int] = {}


def decode(data: bytes, named: str = "") -> str:
    """Decode by byte-order mark, as UTF-8, by the encoding it is `named` when that is true, or by the most likely one.

    Bad bytes become U+FFFD.
    """
    encoding = encoding_of(data)
    if encoding:
        return data.decode(encoding, "replace")
    named = _known(named)
    for encoding in (named if named.startswith(_WIDE) else "", "utf-8", named):
        if encoding:
            try:
                return data.decode(encoding)
            except UnicodeError:
                continue
    return data.decode("utf-8" if _is_damaged_utf8(data[:MAX_SAMPLE]) else _guess(data[:MAX_SAMPLE]), "replace")


def encoding_of(data: bytes) -> str:
    """The encoding that the first bytes show: by a mark, Japanese switches, or the zeros of UTF-16; "" if none."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return encoding
    if data.isascii() and any(switch in data for switch in _SWITCHES):
        return "iso2022_jp"
    sample = data[:_SHOWN]
    if len(data) % 2 == 0 and 0 in sample:
        if 0 not in sample[0::2] and _is_text(codecs.utf_16_le_decode, sample):
            return "utf-16-le"
        if 0 not in sample[1::2] and _is_text(codecs.utf_16_be_decode, sample):
            return "utf-16-be"
    return ""


def _is_text(decoder: Callable[[bytes, str, bool], tuple[str, int]], sample: bytes) -> bool:
    """Whether the first bytes of a text decode, the last of them perhaps in part, into what a text may hold."""
    try:
        return not _NO_TEXT.search(decoder(sample, "strict", False)[0])
    except UnicodeDecodeError:
        return False


def read_text(data: bytes) -> list[Text]:
    """Read a plain text as one text."""
    return [Text(text=with_newlines(decode(data)))]


def with_newlines(text: str) -> str:
    r"""The text with `\n` at the end of each line, whatever system it was written on."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _known(name: str) -> str:
    """The encoding of that name, wider where browsers read it wider; "" for none, and for one that is no text."""
    try:
        found = codecs.lookup(name).name if name else ""
        b"".decode(found or "ascii")
    except (LookupError, ValueError):
        return ""
    return _READ_AS.get(found, found)


def _is_damaged_utf8(sample: bytes) -> bool:
    """Whether far more letters beyond ASCII are UTF-8 than are not, as where a text was cut inside of one."""
    text = sample.decode("utf-8", "replace")
    bad = text.count("\ufffd")
    return sum(1 for _ in _BEYOND.finditer(text)) >= _LETTERS_A_FAULT * bad


def _guess(sample: bytes) -> str:
    from charset_normalizer import from_bytes

    best = from_bytes(sample, cp_isolation=list(_GUESSED)).best()
    return best.encoding if best else "cp1252"
