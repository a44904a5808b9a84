"""Writes HTML elements as Markdown, in time that grows with their text. Pure."""

from __future__ import annotations

import re
from typing import Any, Final

from dify_datasources_web.addresses import link

__all__ = ["markdown_of"]

_HIDDEN_NAMES: Final = "script style noscript template head iframe svg canvas object button select textarea"
_CHROME_NAMES: Final = "nav header footer aside form dialog menu"
_BLOCK_NAMES: Final = (
    "address article aside body dd details div dl dt fieldset figcaption figure footer form header hr html main nav p "
    "section summary ul ol"
)
_HIDDEN: Final = frozenset(_HIDDEN_NAMES.split())
_CHROME: Final = frozenset(_CHROME_NAMES.split())
_BLOCKS: Final = frozenset(_BLOCK_NAMES.split())
_MARKS: Final = {"strong": "**", "b": "**", "em": "*", "i": "*"}
_HEADINGS: Final = {f"h{level}": "#" * level + " " for level in range(1, 7)}
_FRAMED: Final = frozenset((*_MARKS, *_HEADINGS, "a", "code", "li", "pre", "blockquote", "table", "tr", "td", "th"))
#: Frames inside frames are copied once a level, so their depth is bounded.
_DEEPEST: Final = 40
_GAP: Final = re.compile(r"\n{3,}")
_SPACES: Final = re.compile(r"[ \t\r\f\v\n\u00a0]+")


class _Frame:
    """The text of an element while it is being read."""

    def __init__(self, element: Any) -> None:
        self.element = element
        self.name: str = element.tag
        self.pieces: list[str] = []
        self.rows: list[list[str]] = []
        self.cells: list[str] = []
        self.number = 0

    def add(self, text: str) -> None:
        """Words: spaces become one, and none begins a line."""
        text = _SPACES.sub(" ", text)
        if not self.pieces or self.pieces[-1][-1:] in ("\n", " "):
            text = text.lstrip(" ")
        if text:
            self.pieces.append(text)

    def end_line(self, ends: str = "\n") -> None:
        if self.pieces and not (ends == "\n" and self.pieces[-1].endswith("\n")):
            self.pieces.append(ends)

    def text(self) -> str:
        return "".join(self.pieces)


class _Writer:
    def __init__(self, base: str, *, chrome: bool) -> None:
        self._base = base
        self._skipped = _HIDDEN if chrome else _HIDDEN | _CHROME
        self._verbatim: list[str] = []
        self._in_pre = 0

    def write(self, root: Any) -> str:
        from lxml import etree

        frames = [_Frame(root)]
        skipping: Any = None
        for event, element in etree.iterwalk(root, events=("start", "end")):
            if skipping is None and event == "start" and element is not root and self._skips(element):
                skipping = element
            if skipping is None:
                (self._start if event == "start" else self._end)(frames, element)
            if event == "end" and element is not root:
                if skipping is element:
                    skipping = None
                if skipping is None and element.tail:
                    self._words(frames[-1], element.tail)
        return self._finished(frames[0].text())

    def _skips(self, element: Any) -> bool:
        return (
            not isinstance(element.tag, str)
            or element.tag in self._skipped
            or element.get("hidden") is not None
            or element.get("aria-hidden") == "true"
        )

    def _words(self, frame: _Frame, text: str) -> None:
        if self._in_pre:
            frame.pieces.append(text)
        else:
            frame.add(text)

    def _start(self, frames: list[_Frame], element: Any) -> None:
        name = element.tag
        if name == "br":
            frames[-1].pieces.append("\n")
        elif name == "hr":
            frames[-1].end_line("\n\n---\n\n")
        elif name in _BLOCKS:
            frames[-1].end_line("\n\n" if name not in ("ul", "ol") else "\n")
        elif name in _FRAMED and len(frames) < _DEEPEST:
            frames.append(_Frame(element))
            self._in_pre += name == "pre"
        if element.text:
            self._words(frames[-1], element.text)

    def _end(self, frames: list[_Frame], element: Any) -> None:
        frame = frames[-1]
        if len(frames) == 1 or frame.element is not element:
            if element.tag in _BLOCKS:
                frame.end_line("\n\n")
            return
        frames.pop()
        self._in_pre -= frame.name == "pre"
        self._close(frames[-1], frame)

    def _close(self, parent: _Frame, frame: _Frame) -> None:
        """Put what was read of an element where it belongs."""
        name, text = frame.name, frame.text()
        if name == "pre":
            parent.end_line("\n\n")
            parent.pieces.append(self._kept(f"```\n{text.strip(chr(10))}\n```"))
            parent.pieces.append("\n\n")
        elif name in ("td", "th"):
            (parent.cells if parent.name == "tr" else parent.pieces).append(" ".join(text.split()) + " ")
        elif name == "tr" and parent.name == "table":
            parent.rows.append([cell.strip() for cell in frame.cells])
        elif name == "table":
            parent.end_line("\n\n")
            parent.pieces.append(_table(frame.rows) if frame.rows else text)
            parent.pieces.append("\n\n")
        elif name == "tr":
            parent.pieces.append("".join(frame.cells) + "\n")
        elif self._in_pre or not text.strip():
            parent.pieces.append(text)
        else:
            self._close_words(parent, frame, text)

    def _close_words(self, parent: _Frame, frame: _Frame, text: str) -> None:
        name, bare = frame.name, text.strip()
        if name in _HEADINGS:
            parent.end_line("\n\n")
            parent.pieces += [_HEADINGS[name] + " ".join(bare.split()), "\n\n"]
        elif name == "li":
            parent.end_line()
            parent.pieces += [f"{self._bullet(frame.element)} " + bare.replace("\n", "\n  "), "\n"]
        elif name == "blockquote":
            parent.end_line("\n\n")
            parent.pieces += ["> " + _GAP.sub("\n\n", bare).replace("\n", "\n> "), "\n\n"]
        else:
            parent.add(text[: len(text) - len(text.lstrip())] + self._marked(name, frame.element, bare))
            if text[-1:].isspace():
                parent.add(" ")

    def _marked(self, name: str, element: Any, text: str) -> str:
        if name == "code":
            return f"`{text}`"
        if name == "a":
            target = link(self._base, element.get("href") or "") if element.get("href") else None
            flat = " ".join(text.split())
            return f"[{flat}]({target})" if target and target != link(self._base, "") else flat
        mark = _MARKS[name]
        return f"{mark}{text}{mark}" if "\n\n" not in text else text

    def _bullet(self, element: Any) -> str:
        parent = element.getparent()
        if parent is None or parent.tag != "ol":
            return "-"
        number = int(parent.get("data-dify-number", "0")) + 1
        parent.set("data-dify-number", str(number))
        return f"{number}."

    def _kept(self, text: str) -> str:
        """A place in the text for what must stay as it is."""
        self._verbatim.append(text)
        return f"\0{len(self._verbatim) - 1}\0"

    def _finished(self, text: str) -> str:
        text = _GAP.sub("\n\n", re.sub(r"[ \t]+\n", "\n", text)).strip()
        return re.sub("\0(\\d+)\0", lambda found: self._verbatim[int(found[1])], text)


def markdown_of(root: Any, base: str, *, chrome: bool) -> str:
    """The visible words of an element and all in it; `chrome` keeps menus, headers, footers and forms.

    `base` is the address that links are relative to. NUL characters must not be in the texts.
    """
    return _Writer(base, chrome=chrome).write(root)


def _table(rows: list[list[str]]) -> str:
    """A Markdown table; its first row is the head. One of a single column is lines."""
    width = max(len(row) for row in rows)
    if width < 2:
        return "\n".join(cell for row in rows for cell in row if cell)
    lines = []
    for number, row in enumerate(rows):
        cells = [cell.replace("|", "\\|") for cell in row] + [""] * (width - len(row))
        lines.append(f"| {' | '.join(cells)} |")
        if number == 0:
            lines.append("|" + " --- |" * width)
    return "\n".join(lines)
