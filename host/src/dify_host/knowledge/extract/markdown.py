"""Reads Markdown: one text a heading section; headings inside code fences, comments and front matter are none."""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
from collections.abc import Iterator, Sequence

from dify_host.knowledge.extract.markdown_tags import Tags, code_spans
from dify_host.knowledge.extract.pictures import Pictures
from dify_host.knowledge.extract.text import Text, decode, with_newlines

__all__ = ["read_markdown", "with_pictures"]

_HEADING = re.compile(r" {0,3}#{1,6}(?:[ \t]+(?P<title>.*?))?[ \t]*#*$")
_FENCE = re.compile(r" {0,3}(?P<fence>`{3,}|~{3,})")
#: A picture that is written out in the text.
_DATA = re.compile(r"!\[(?P<title>[^\]\n]{0,500})\]\(<?data:image/[\w.+-]{1,40};base64,(?P<data>[A-Za-z0-9+/=]*)>?\)")
#: A picture that is elsewhere, with what stands around its address.
_LINKED = re.compile(
    r"(?P<before>!\[[^\]\n]{0,500}\]\()<?(?P<address>https?://[^\s<>()]*(?:\([^\s<>()]*\)[^\s<>()]*)*)>?"
)
#: The beginning of a tag whose end is on a later line, and how many lines are looked through for it.
_OPEN_TAG, _MOST_TAG_LINES = re.compile(r"<[A-Za-z][\w-]*(?:\s[^<>]*)?$"), 20


def read_markdown(data: bytes, pictures: Pictures | None = None) -> list[Text]:
    """Read the sections in order, each as its heading and what is below; HTML tags outside code are removed.

    Of a picture that is written out in the text its title stays, and its place.
    """
    source = with_newlines(decode(data))
    words = _Words(pictures, Tags(source, pictures))
    texts = ("\n".join(lines).strip() for lines in _sections(source.split("\n"), words))
    return [Text(text=text) for text in texts if text]


def with_pictures(source: str, pictures: Pictures) -> str:
    """A text as it is, with what stands for the pictures that it links to outside its code."""
    words, fence, lines = _Words(pictures, Tags("", pictures)), "", []
    for line in source.split("\n"):
        after = _fence_after(fence, line)
        lines.append(line if fence or after else words.pictured(line))
        fence = after
    return "\n".join(lines)


class _Words:
    """Lines without what only a browser reads, and with what stands for their pictures."""

    def __init__(self, pictures: Pictures | None, tags: Tags) -> None:
        self._pictures, self._tags = pictures, tags

    def of(self, line: str) -> str:
        """The words of a line; its code stays."""
        words = "".join(piece if is_code else self._plain(piece) for is_code, piece in code_spans(line))
        if line.startswith("<"):
            words = words.lstrip()
        return words.rstrip() if line.endswith(">") else words

    def pictured(self, line: str) -> str:
        """A line with what stands for its pictures, its tags and its code as they are."""
        return "".join(piece if is_code else self._placed(piece) for is_code, piece in code_spans(line))

    def _plain(self, text: str) -> str:
        return self._tags.without(self._placed(text))

    def _placed(self, text: str) -> str:
        if "](data:" in text or "](<data:" in text:
            text = _DATA.sub(self._written, text)
        if self._pictures is not None and "](" in text:
            text = _LINKED.sub(self._linked, text)
        return text

    def _written(self, found: re.Match[str]) -> str:
        place = ""
        if self._pictures is not None:
            with contextlib.suppress(binascii.Error):
                place = self._pictures.add(base64.b64decode(found["data"]))
        return f"{found['title']} {place}".strip()

    def _linked(self, found: re.Match[str]) -> str:
        address = found["address"]
        return f"{found['before']}{self._pictures.link(address) if self._pictures is not None else address}"


def _sections(lines: list[str], words: _Words) -> Iterator[list[str]]:
    at = _front_matter(lines)
    section, fence = lines[:at], ""
    last_comment = max((number for number, line in enumerate(lines) if "-->" in line), default=-1)
    while at < len(lines):
        line = lines[at]
        at += 1
        after = _fence_after(fence, line)
        if fence or after:
            section.append(line)
            fence = after
        else:
            if "<" in line:
                line, at = _whole(line, lines, at, last_comment)
            if heading := _HEADING.match(line):
                yield section
                section = [words.of(heading["title"] or "")]
            else:
                section.append(words.of(line))
    yield section


def _fence_after(fence: str, line: str) -> str:
    """The fence of the code that goes on below a line, by the one that is open above it; "" for none."""
    mark = _FENCE.match(line)
    if not fence:
        return mark["fence"] if mark else ""
    closes = mark and mark["fence"].startswith(fence) and not line.strip().strip(fence[0])
    return "" if closes else fence


def _front_matter(lines: Sequence[str]) -> int:
    """How many lines of properties stand before the text."""
    if lines[0].rstrip() != "---":
        return 0
    return next((number + 1 for number, line in enumerate(lines) if number and line.rstrip() in ("---", "...")), 0)


def _whole(line: str, lines: Sequence[str], at: int, last_comment: int) -> tuple[str, int]:
    """A line with the end of its last tag, without a comment that goes on below it; and where the next line is."""
    while (begin := line.rfind("<!--")) >= 0 and "-->" not in line[begin:]:
        if last_comment < at or not _is_words(line, begin):
            break
        end = next(number for number in range(at, last_comment + 1) if "-->" in lines[number])
        line, at = line[:begin] + lines[end].partition("-->")[2], end + 1
    found = _OPEN_TAG.search(line)
    if found and _is_words(line, found.start()):
        for end in range(at, min(at + _MOST_TAG_LINES, len(lines))):
            before, closed, _ = lines[end].partition(">")
            if "<" in before or not lines[end].strip():
                break
            if closed:
                return " ".join([line, *lines[at : end + 1]]), end + 1
    return line, at


def _is_words(line: str, place: int) -> bool:
    """Whether a place of a line is outside its code."""
    start = 0
    for is_code, piece in code_spans(line):
        start += len(piece)
        if place < start:
            return not is_code
    return True
