"""Reads Markdown: one text a heading section; headings inside code fences are not headings."""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
from collections.abc import Iterator
from functools import partial

from dify_host.knowledge.extract.pictures import Pictures
from dify_host.knowledge.extract.text import Text, decode

__all__ = ["read_markdown"]

_HEADING = re.compile(r" {0,3}#{1,6}(?:[ \t]+(?P<title>.*?))?[ \t]*#*$")
_FENCE = re.compile(r" {0,3}(?P<fence>`{3,}|~{3,})")
_TAG = re.compile(r"</?[A-Za-z][^<>]*>|<!--[^<>]*-->")
#: A picture that is written out in the text.
_DATA = re.compile(r"!\[(?P<title>[^\]\n]{0,500})\]\(<?data:image/[\w.+-]{1,40};base64,(?P<data>[A-Za-z0-9+/=]*)>?\)")
#: A picture that is elsewhere, with what stands around its address; and code in a line, where none is one.
_LINKED = re.compile(
    r"`+[^`]*`+|(?P<before>!\[[^\]\n]{0,500}\]\()<?(?P<address>https?://[^\s<>()]*(?:\([^\s<>()]*\)[^\s<>()]*)*)>?"
)


def read_markdown(data: bytes, pictures: Pictures | None = None) -> list[Text]:
    """Read the sections in order, each as its heading and what is below; HTML tags outside code are removed.

    Of a picture that is written out in the text its title stays, and its place.
    """
    texts = ("\n".join(lines).strip() for lines in _sections(decode(data).splitlines(), pictures))
    return [Text(text=text) for text in texts if text]


def _shown(found: re.Match[str], pictures: Pictures | None) -> str:
    place = ""
    if pictures is not None:
        with contextlib.suppress(binascii.Error):
            place = pictures.add(base64.b64decode(found["data"]))
    return f"{found['title']} {place}".strip()


def _plain(line: str, pictures: Pictures | None) -> str:
    """A line without HTML tags, and with what stands for the pictures that it links to."""
    if pictures is not None and "](" in line:
        line = _LINKED.sub(partial(_linked, pictures=pictures), line)
    return _TAG.sub("", line)


def _linked(found: re.Match[str], pictures: Pictures) -> str:
    return f"{found['before']}{pictures.link(found['address'])}" if found["address"] else found[0]


def _sections(lines: list[str], pictures: Pictures | None) -> Iterator[list[str]]:
    section: list[str] = []
    fence = ""
    for line in lines:
        mark = _FENCE.match(line)
        if fence:
            closes = mark and mark["fence"].startswith(fence) and not line.strip().strip(fence[0])
            fence = "" if closes else fence
            section.append(line)
        elif mark:
            fence = mark["fence"]
            section.append(line)
        elif heading := _HEADING.match(line):
            yield section
            section = [_plain(heading["title"] or "", pictures)]
        else:
            if "](data:" in line or "](<data:" in line:
                line = _DATA.sub(partial(_shown, pictures=pictures), line)
            section.append(_plain(line, pictures))
    yield section
