"""Reads what is almost JSON: answers of models and texts made by templates. Pure, and linear in the length of the text.

Repaired are: prose and code fences around it, single quotes, Python's True, False and None, keys and words without
quotes, quotes and line breaks inside strings, missing and surplus commas, and ends that are cut off.
"""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["loads"]

MAX_DEPTH = 200

_SPACE = re.compile(r"[\s,]*")
_BARE = re.compile(r"[^,:\[\]{}\n]*")
_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’"}
_STOPS = {quote: re.compile(rf"[{close}\\]") for quote, close in _QUOTES.items()}
_AFTER_KEY = re.compile(r"\s*:")
_AFTER_MEMBER = re.compile(r"""\s*(?:[}\]]|\Z|,\s*(?:["'“‘}\]]|\Z|[\w-]+\s*:)|\n\s*["'“‘])""")
_AFTER_ITEM = re.compile(r"""\s*(?:[}\]]|\Z|,\s*(?:["'“‘\[{\]}\d-]|\Z|(?:true|false|null|True|False|None)\b))""")
_WORDS = {"true": True, "false": False, "null": None, "none": None, "undefined": None, "nan": None}
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_BEFORE_QUOTE = re.compile(r"(?:true|false|null|True|False|None|[+-]?[\d.]+)(?=\s+[\"'“‘])")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


def loads(text: str, *, objects: bool = False) -> Any:
    """The JSON value in a text, repaired where it must be; ValueError when there is none.

    A text that is JSON is read as such. Otherwise the first object or list counts that is not empty; with `objects`
    only objects do.
    """
    try:
        found = json.loads(text, strict=False)
    except RecursionError as exc:
        raise ValueError("JSON is nested too deeply") from exc
    except ValueError:
        return _first(text, "{" if objects else "{[")
    return found if not objects or isinstance(found, dict) else _first(text, "{")


def _first(text: str, openers: str) -> Any:
    start = re.compile(f"[{re.escape(openers)}]")
    empty: Any = None
    opening = start.search(text)
    while opening:
        found, end = _Reader(text).value(opening.start(), 1, _AFTER_MEMBER)
        if found:
            return found
        empty = found if empty is None else empty
        opening = start.search(text, max(end, opening.end()))
    if empty is None:
        raise ValueError("there is no JSON in the text")
    return empty


class _Reader:
    """Recursive descent; every method takes a position and gives a value and the position behind it."""

    def __init__(self, text: str) -> None:
        self.text = text

    def value(self, at: int, depth: int, after: re.Pattern[str]) -> tuple[Any, int]:
        """Any value; `after` tells what may follow the end of a string here."""
        if depth > MAX_DEPTH:
            raise ValueError("JSON is nested too deeply")
        opening = self.text[at : at + 1]
        if opening == "{":
            return self._object(at + 1, depth)
        if opening == "[":
            return self._list(at + 1, depth)
        if opening in _QUOTES and opening:
            return self._string(at, after)
        return self._bare(at)

    def _object(self, at: int, depth: int) -> tuple[dict[str, Any], int]:
        members: dict[str, Any] = {}
        while True:
            at = self._skip(at)
            char = self.text[at : at + 1]
            if char in ("}", "", "]"):  # a list that ends here leaves its bracket to the list
                return members, at + (char == "}")
            key, at = self._string(at, _AFTER_KEY) if char in _QUOTES else self._key(at, depth)
            at = self._blank(at)
            if self.text[at : at + 1] == ":":
                at = self._blank(at + 1)
                if self.text[at : at + 1] in (",", "}", "]", ""):
                    members[key] = None
                else:
                    members[key], at = self.value(at, depth + 1, _AFTER_MEMBER)

    def _key(self, at: int, depth: int) -> tuple[str, int]:
        if self.text[at] in "{[":  # no key at all: read past it
            return "", self.value(at, depth + 1, _AFTER_ITEM)[1]
        found = _BARE.match(self.text, at)
        end = found.end() if found else at
        return self.text[at:end].strip(), end if end > at else at + 1

    def _list(self, at: int, depth: int) -> tuple[list[Any], int]:
        items: list[Any] = []
        while True:
            at = self._skip(at)
            char = self.text[at : at + 1]
            if char in ("]", "", "}"):
                return items, at + (char == "]")
            item, end = self.value(at, depth + 1, _AFTER_ITEM)
            if end > at:
                items.append(item)
            at = max(end, at + 1)

    def _string(self, at: int, after: re.Pattern[str]) -> tuple[str, int]:
        """Up to the quote that something fitting follows; any other quote is part of the text."""
        stop, begin = _STOPS[self.text[at]], at + 1
        at = begin
        while found := stop.search(self.text, at):
            if found.group() == "\\":
                at = found.end() + 1
            elif after.match(self.text, found.end()):
                return _unescaped(self.text[begin : found.start()]), found.end()
            else:
                at = found.end()
        return _unescaped(self.text[begin:]), len(self.text)

    def _bare(self, at: int) -> tuple[Any, int]:
        found = _BEFORE_QUOTE.match(self.text, at) or _BARE.match(self.text, at)
        end = found.end() if found else at
        word = self.text[at:end].strip()
        if word.lower() in _WORDS:
            return _WORDS[word.lower()], end
        if _NUMBER.fullmatch(word):
            try:
                return (int(word) if word.lstrip("+-").isdigit() else float(word)), end
            except ValueError:  # more digits than Python converts
                return word, end
        return word, end

    def _skip(self, at: int) -> int:
        found = _SPACE.match(self.text, at)
        return found.end() if found else at

    def _blank(self, at: int) -> int:
        while self.text[at : at + 1].isspace():
            at += 1
        return at


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    try:
        return str(json.loads(f'"{text}"', strict=False))
    except ValueError:
        return _ESCAPE.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    code, char = found.groups()
    return chr(int(code, 16)) if code else _ESCAPES.get(char, char)
