"""Parts what a model thinks from what it says, while it streams. Pure.

Two sources of thinking: `<think>` blocks inside the text, and reasoning that the provider hands over apart.
`tagged` puts all of it into the text; `separated` takes all of it out.
"""

from __future__ import annotations

import re
from typing import Protocol

__all__ = ["Piece", "Separated", "Tagged", "Voice", "without_thinking"]

Piece = tuple[str, str]
"""Text and reasoning that may be shown now; either may be empty."""

_BLOCK = re.compile(r"<think[^>]*>(.*?)</think>", re.IGNORECASE | re.DOTALL)
_OPEN = re.compile(r"<think", re.IGNORECASE)
_CLOSE = re.compile(r"</think>", re.IGNORECASE)
_PARTIAL = re.compile(r"<(?:t(?:h(?:i(?:n)?)?)?)?\Z", re.IGNORECASE)
_BLANK = re.compile(r"\n\s*\n")
_TAIL = len("</think>") - 1


def without_thinking(text: str) -> str:
    """The text without its closed `<think>` blocks."""
    return _BLOCK.sub("", text) if "<" in text else text


class Voice(Protocol):
    """How the deltas of a model become text and reasoning."""

    def feed(self, text: str, reasoning: str) -> Piece:
        """One delta."""
        ...

    def finish(self) -> Piece:
        """What was held back."""
        ...


class Tagged:
    """Everything is text; reasoning that comes apart is put between `<think>` tags."""

    def __init__(self) -> None:
        self._thinking = False

    def feed(self, text: str, reasoning: str) -> Piece:
        """The text as it is."""
        if reasoning:
            reasoning = reasoning if self._thinking else f"<think>\n{reasoning}"
            self._thinking = True
        if text and self._thinking:
            text = f"\n</think>{text}"
            self._thinking = False
        return reasoning + text, ""

    def finish(self) -> Piece:
        """The closing tag when the answer ended in thought."""
        return ("\n</think>" if self._thinking else ""), ""


class Separated:
    """Thinking goes to the reasoning, the rest to the text: blank lines collapsed, ends trimmed.

    However the deltas are cut, what is shown adds up to the same. A block that never closes stays in the text.
    """

    def __init__(self) -> None:
        self._raw: list[str] = []  # an open block, or what may become one
        self._tail = ""
        self._state = "text"
        self._space = ""
        self._begun = False
        self._thought = False

    def feed(self, text: str, reasoning: str) -> Piece:
        """One delta; text that may belong to a block is held back."""
        thoughts = [reasoning] if reasoning else []
        self._thought = self._thought or bool(reasoning)
        if not text:
            return "", reasoning
        if self._state == "text" and not self._raw and "<" not in text:
            return self._shown(text), reasoning
        shown = []
        while text:
            said, thought, text = self._step(text)
            shown.append(said)
            if thought:
                thoughts.append(f"\n{thought}" if self._thought else thought)
                self._thought = True
        return self._shown("".join(shown)), "".join(thoughts)

    def finish(self) -> Piece:
        """A block that never closed, as text."""
        return self._shown("".join(self._raw)), ""

    def _step(self, text: str) -> tuple[str, str, str]:
        """Text to show, a finished thought, and what is still to be read."""
        if self._state == "text":
            text = "".join(self._raw) + text
            self._raw = []
            found = _OPEN.search(text)
            if found:
                self._state, self._raw = "tag", [found.group()]
                return text[: found.start()], "", text[found.end() :]
            partial = _PARTIAL.search(text)
            end = partial.start() if partial else len(text)
            self._raw = [text[end:]] if partial else []
            return text[:end], "", ""
        if self._state == "tag":
            head, close, rest = text.partition(">")
            self._raw.append(head + close)
            self._state = "block" if close else "tag"
            self._tail = ""
            return "", "", rest
        window = self._tail + text
        found = _CLOSE.search(window)
        if not found:
            self._raw.append(text)
            self._tail = window[-_TAIL:]
            return "", "", ""
        used = found.end() - len(self._tail)
        block = _BLOCK.fullmatch("".join(self._raw) + text[:used])
        self._state, self._raw, self._tail = "text", [], ""
        return "", (block.group(1).strip() if block else ""), text[used:]

    def _shown(self, text: str) -> str:
        """The text with blank lines collapsed; white space at the end waits for what follows."""
        text = self._space + text
        body = text.rstrip()
        self._space = text[len(body) :]
        if not body:
            return ""
        if not self._begun:
            body, self._begun = body.lstrip(), True
        return _BLANK.sub("\n\n", body) if "\n" in body else body
