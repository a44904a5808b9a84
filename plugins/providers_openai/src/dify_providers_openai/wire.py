"""The answers as they come over the wire: just the fields that are used, decoded straight into structs."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = [
    "Chunk",
    "Embedded",
    "EventSplitter",
    "Heard",
    "Moderated",
    "Piece",
    "Ranked",
    "ThoughtSplitter",
    "WireUsage",
]


class WireFunction(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class WireCall(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: WireFunction | None = None


class Piece(msgspec.Struct):
    """A message, or a delta of one; reasoning goes by two names."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[WireCall] | None = None


class WireChoice(msgspec.Struct):
    delta: Piece | None = None
    message: Piece | None = None
    text: str | None = None
    finish_reason: str | None = None


class WireUsage(msgspec.Struct, gc=False):
    """Tokens as the server counts them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


class Chunk(msgspec.Struct):
    """One event of a stream, or a whole answer."""

    choices: list[WireChoice] = []
    usage: WireUsage | None = None
    error: Any = None


class WireVector(msgspec.Struct):
    embedding: str | list[float]
    index: int | None = None


class Embedded(msgspec.Struct):
    """The answer of /embeddings."""

    data: list[WireVector]
    usage: WireUsage | None = None


class Heard(msgspec.Struct):
    """The answer of /audio/transcriptions."""

    text: str = ""


class WireRank(msgspec.Struct, gc=False):
    index: int
    relevance_score: float | None = None
    score: float | None = None


class Ranked(msgspec.Struct):
    """The answer of /rerank."""

    results: list[WireRank]


class WireVerdict(msgspec.Struct, gc=False):
    flagged: bool


class Moderated(msgspec.Struct):
    """The answer of /moderations."""

    results: list[WireVerdict]


class EventSplitter:
    """Splits a stream of server-sent events into the data of each, however it was cut into pieces."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> list[bytes]:
        """The data of the events that this piece completes."""
        lines = (self._rest + piece).split(b"\n")
        self._rest = lines.pop()
        found: list[bytes] = []
        data = self._data
        for line in lines:
            if line[-1:] == b"\r":
                line = line[:-1]
            if line[:5] == b"data:":
                data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif not line and data:
                found.append(data[0] if len(data) == 1 else b"\n".join(data))
                data.clear()
        return found

    def close(self) -> list[bytes]:
        """What is left when the stream ends without a last blank line."""
        return self.feed(b"\n\n")


_OPEN, _CLOSE = "<think>", "</think>"


class ThoughtSplitter:
    """Tells `<think>…</think>` at the start of an answer from the answer, however the text was cut into pieces."""

    def __init__(self) -> None:
        self._held = ""
        self._state = "before"

    def feed(self, text: str) -> tuple[str, str]:
        """The reasoning and the answer in this piece."""
        if self._state == "after":
            return "", text
        self._held += text
        thought = ""
        if self._state == "before":
            start = self._held.lstrip()
            if _OPEN.startswith(start[: len(_OPEN)]) and len(start) < len(_OPEN):
                return "", ""  # it may yet become the tag
            if not start.startswith(_OPEN):
                return "", self._give("after")
            self._held, self._state = start[len(_OPEN) :], "inside"
        if self._state == "inside":
            thought, tag, rest = self._held.partition(_CLOSE)
            if not tag:
                keep = _overlap(self._held, _CLOSE)
                self._held, thought = self._held[len(self._held) - keep :], self._held[: len(self._held) - keep]
                return thought, ""
            self._held, self._state = rest, "between"
        self._held = self._held.lstrip()  # the blank lines between the two belong to neither
        return thought, self._give("after") if self._held else ""

    def close(self) -> tuple[str, str]:
        """What was held back, when the answer ends."""
        inside = self._state == "inside"
        held = self._give("after")
        return (held, "") if inside else ("", held)

    def _give(self, state: str) -> str:
        held, self._held, self._state = self._held, "", state
        return held


def _overlap(text: str, tag: str) -> int:
    """How many characters at the end of the text may begin the tag."""
    return next((size for size in range(min(len(text), len(tag) - 1), 0, -1) if text.endswith(tag[:size])), 0)
