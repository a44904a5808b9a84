"""The HTML in a line of Markdown: which of it is code, which are tags, and what stands for them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dify_host.knowledge.extract.html import picture_of_tag
from dify_host.knowledge.extract.pictures import Pictures

__all__ = ["Tags", "code_spans"]

_TICKS = re.compile("(`+)")
_TAG = re.compile(r"<(?P<end>/?)(?P<name>[A-Za-z][\w.:-]*)(?P<rest>(?:[\s/][^<>]*)?)>")
_ADDRESS = re.compile(r"<((?:https?|ftp|mailto|tel):[^\s<>]*|[^\s<>@:/]+@[\w.-]+)>", re.IGNORECASE)
_CLOSED = re.compile(r"</([A-Za-z][\w.:-]*)\s*>")
#: Tags between which words are apart.
_APART_NAMES = (
    "address article aside blockquote br caption center dd details div dl dt fieldset figcaption figure footer form h1 "
    "h2 h3 h4 h5 h6 header hr legend li main nav ol option p pre section summary table tbody td tfoot th thead tr ul"
)
_APART = frozenset(_APART_NAMES.split())
_OTHER_NAMES = (
    "a abbr acronym area audio b base bdi bdo big body button canvas cite code col colgroup data datalist del dfn "
    "dialog em embed font head html i iframe img input ins kbd label link map mark menu meta meter noscript object "
    "output param picture progress q rp rt ruby s samp script select slot small source span strike strong style sub "
    "sup svg template textarea time title track tt u var video wbr"
)
_NAMES = _APART | frozenset(_OTHER_NAMES.split())


def code_spans(line: str) -> Iterator[tuple[bool, str]]:
    """The pieces of a line in order, and whether each is code: between two runs of as many backticks."""
    if "`" not in line:
        yield False, line
        return
    pieces = _TICKS.split(line)  # the odd ones are backticks
    ends: dict[int, int] = {}
    later: dict[str, int] = {}
    for number in range(len(pieces) - 2, 0, -2):
        if pieces[number] in later:
            ends[number] = later[pieces[number]]
        later[pieces[number]] = number
    at, start = 0, 0
    while at < len(pieces):
        if at not in ends:
            at += 1
            continue
        yield False, "".join(pieces[start:at])
        yield True, "".join(pieces[at : ends[at] + 1])
        at = start = ends[at] + 1
    yield False, "".join(pieces[start:])


class Tags:
    """The tags of one document: those of HTML, those with attributes, and those that are closed somewhere.

    What else stands in angle brackets is text: a list of strings, a word to fill in.
    """

    def __init__(self, source: str, pictures: Pictures | None) -> None:
        self._closed = frozenset(_CLOSED.findall(source))
        self._pictures = pictures

    def without(self, text: str) -> str:
        """The text without tags and comments, addresses without their brackets, pictures in the place of theirs."""
        if "<" not in text:
            return text
        return _TAG.sub(self._instead, _ADDRESS.sub(r"\1", _without_comments(text)))

    def _instead(self, found: re.Match[str]) -> str:
        if not self._is_tag(found):
            return found[0]
        name = found["name"].lower()
        if name == "img" and self._pictures is not None and not found["end"]:
            return picture_of_tag(found[0], self._pictures)
        return " " if name in _APART else ""

    def _is_tag(self, found: re.Match[str]) -> bool:
        name, rest = found["name"], found["rest"].strip().removesuffix("/")
        if "=" in rest or name in self._closed or found["rest"].endswith("/"):
            return True
        return name.lower() in _NAMES and len(rest.split()) < 2


def _without_comments(text: str) -> str:
    pieces, at = [], 0
    while (begin := text.find("<!--", at)) >= 0 and (end := text.find("-->", begin)) >= 0:
        pieces.append(text[at:begin])
        at = end + 3
    return "".join([*pieces, text[at:]])
