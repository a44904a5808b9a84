"""Reads Markdown: one text a heading section; headings inside code fences are not headings."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dify_host.knowledge.extract.text import Text, decode

__all__ = ["read_markdown"]

_HEADING = re.compile(r" {0,3}#{1,6}(?:[ \t]+(?P<title>.*?))?[ \t]*#*$")
_FENCE = re.compile(r" {0,3}(?P<fence>`{3,}|~{3,})")
_TAG = re.compile(r"</?[A-Za-z][^<>]*>|<!--[^<>]*-->")


def read_markdown(data: bytes) -> list[Text]:
    """Read the sections in order, each as its heading and what is below; HTML tags outside code are removed."""
    texts = ("\n".join(lines).strip() for lines in _sections(decode(data).splitlines()))
    return [Text(text=text) for text in texts if text]


def _sections(lines: list[str]) -> Iterator[list[str]]:
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
            section = [_TAG.sub("", heading["title"] or "")]
        else:
            section.append(_TAG.sub("", line))
    yield section
