"""What scripted models answer: words in a message steer the fake provider and the fake OpenAI server alike.

A message without such words is answered `ECHO(<its first 200 characters>)`, in pieces of eight characters.

    REPLY:xyz        the answer is `xyz` (the rest of the message)
    FAIL:msg         the call fails with `msg`; STATUS:503 beside it sets the HTTP status (400 otherwise)
    TOKENS:n         the answer is n short pieces
    DELAY:ms         so many milliseconds before each piece
    THINK:abc        the model reasons `abc` (the rest of the line) before it answers
    TOOL:name {...}  the tool is called with that JSON, once a line; only when the request offers it
    DROP:n           the connection breaks after n pieces

A prompt that asks to classify, a JSON object with `input_text` and `categories`, is answered with a category: the first
whose first word is in the text, else the first of all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

__all__ = ["PIECE", "Scripted", "ScriptedFailure", "classify", "count_tokens", "play"]

PIECE = 8

_NUMBER = {word: re.compile(rf"\b{word}:(\d+)") for word in ("TOKENS", "DELAY", "STATUS", "DROP")}
_QUESTION = re.compile(r'\{\s*"input_text"')
_THINK = re.compile(r"THINK:([^\n]*)")
_TOOL = re.compile(r"TOOL:([\w-]+)[ \t]*(\{[^\n]*\})?")


class ScriptedFailure(Exception):
    """The script says that the call fails; `status` is the HTTP status of it."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class Scripted(msgspec.Struct, frozen=True, kw_only=True):
    """One scripted answer: pieces of text, calls as (name, JSON text), seconds before each piece."""

    pieces: list[str] = []
    tool_calls: list[tuple[str, str]] = []
    reasoning: str = ""
    delay: float = 0.0
    finish_reason: str = "stop"
    drop_after: int | None = None

    @property
    def text(self) -> str:
        """The whole answer."""
        return "".join(self.pieces)


def count_tokens(text: str) -> int:
    """A stand-in for a tokenizer: words and punctuation marks."""
    return len(re.findall(r"\w+|[^\w\s]", text))


def classify(message: str) -> str | None:
    """The answer to a prompt that asks to classify, as JSON; None for any other. The last question in it counts."""
    starts = [found.start() for found in _QUESTION.finditer(message)]
    if not starts:
        return None
    try:
        asked, _ = json.JSONDecoder().raw_decode(message, starts[-1])
        categories = [(item["category_id"], str(item["category_name"])) for item in asked["categories"]]
        first = categories[0]
    except (ValueError, KeyError, TypeError, IndexError):
        return None
    text = str(asked["input_text"]).lower()
    named = [pair for pair in categories if pair[1].split() and pair[1].lower().split()[0] in text]
    category_id, name = named[0] if named else first
    return json.dumps({"keywords": [], "category_id": category_id, "category_name": name}, ensure_ascii=False)


def play(
    role: str,
    message: str,
    *,
    tools: Collection[str] = (),
    schema: Mapping[str, Any] | None = None,
    max_tokens: int | None = None,
    stop: Sequence[str] = (),
) -> Scripted:
    """The answer to a prompt whose last message has this role and text; raises ScriptedFailure when it says so.

    A tool's result is echoed, never followed by another call. `max_tokens` counts pieces.
    """
    if role == "tool":
        return Scripted(pieces=_cut(f"ECHO({message[:200]})"))
    if "FAIL:" in message:
        raise ScriptedFailure(message.split("FAIL:", 1)[1].strip(), _number("STATUS", message) or 400)
    thought = _THINK.search(message)
    reasoning = thought.group(1).strip() if thought else ""
    delay = (_number("DELAY", message) or 0) / 1000
    calls = [(name, arguments or "{}") for name, arguments in _TOOL.findall(message) if name in tools]
    if calls:
        return Scripted(tool_calls=calls, reasoning=reasoning, delay=delay, finish_reason="tool_calls")
    pieces, finish_reason = _pieces(message, schema), "stop"
    if any(word and word in "".join(pieces) for word in stop):
        pieces = _cut(min(("".join(pieces).split(word, 1)[0] for word in stop if word), key=len))
    if max_tokens is not None and len(pieces) > max_tokens:
        pieces, finish_reason = pieces[:max_tokens], "length"
    return Scripted(
        pieces=pieces,
        reasoning=reasoning,
        delay=delay,
        finish_reason=finish_reason,
        drop_after=_number("DROP", message),
    )


def _pieces(message: str, schema: Mapping[str, Any] | None) -> list[str]:
    tokens = _number("TOKENS", message)
    if "REPLY:" in message:
        return _cut(message.split("REPLY:", 1)[1])
    if schema is not None:
        return _cut(json.dumps(_instance(schema)))
    if tokens is not None:
        return [f"word{index % 1000:03d} " for index in range(tokens)]
    chosen = classify(message)
    if chosen is not None:
        return _cut(chosen)
    return _cut(f"ECHO({message[:200]})")


def _cut(text: str) -> list[str]:
    return [text[at : at + PIECE] for at in range(0, len(text), PIECE)]


def _number(word: str, message: str) -> int | None:
    found = _NUMBER[word].search(message)
    return int(found.group(1)) if found else None


def _instance(schema: Mapping[str, Any]) -> Any:
    """The plainest value that a schema allows."""
    if "enum" in schema:
        return schema["enum"][0]
    if "const" in schema:
        return schema["const"]
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return _instance(schema[word][0])
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = kind[0]
    if kind == "object":
        return {name: _instance(part) for name, part in schema.get("properties", {}).items()}
    if kind == "array":
        return [_instance(schema.get("items", {"type": "string"}))]
    return {"string": "text", "integer": 1, "number": 1.5, "boolean": True, "null": None}.get(kind)
