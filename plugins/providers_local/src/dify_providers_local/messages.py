"""What the host and the model process say to each other: msgpack messages, each behind its length in four bytes."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = [
    "Ask",
    "Cancel",
    "Chat",
    "Done",
    "Embed",
    "Failed",
    "Load",
    "Piece",
    "Rank",
    "Scores",
    "Told",
    "Vectors",
    "decode_ask",
    "decode_told",
    "frame",
]

LENGTH_BYTES = 4


class Chat(msgspec.Struct, frozen=True, kw_only=True, tag="chat"):
    """Generate: `body` is a chat completion request, `path` the GGUF file."""

    id: int
    path: str
    body: dict[str, Any]


class Embed(msgspec.Struct, frozen=True, kw_only=True, tag="embed"):
    """One vector a text."""

    id: int
    texts: list[str]
    query: bool


class Rank(msgspec.Struct, frozen=True, kw_only=True, tag="rank"):
    """One score a text; without texts the model is only loaded."""

    id: int
    path: str
    words: str
    query: str
    texts: list[str]


class Load(msgspec.Struct, frozen=True, kw_only=True, tag="load"):
    """Load a GGUF file ahead, or the embedding model when `path` is empty."""

    id: int
    path: str


class Cancel(msgspec.Struct, frozen=True, kw_only=True, tag="cancel"):
    """Stop that call; it still ends with Done."""

    id: int


Ask = Chat | Embed | Rank | Load | Cancel


class Piece(msgspec.Struct, frozen=True, kw_only=True, tag="piece"):
    """A piece of an answer, or of the reasoning before it."""

    id: int
    text: str = ""
    reasoning: str = ""


class Vectors(msgspec.Struct, frozen=True, kw_only=True, tag="vectors"):
    """Vectors as 32-bit floats, one after the other, and the tokens of the texts."""

    id: int
    data: bytes
    dimension: int
    tokens: int


class Scores(msgspec.Struct, frozen=True, kw_only=True, tag="scores"):
    """How relevant each text is, from 0 to 1, in their order."""

    id: int
    scores: list[float]


class Done(msgspec.Struct, frozen=True, kw_only=True, tag="done"):
    """The last word about a call."""

    id: int
    finish_reason: str = "stop"
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """The last word about a call that failed; `refused` when the request was at fault."""

    id: int
    message: str
    refused: bool = False


Told = Piece | Vectors | Scores | Done | Failed

decode_ask = msgspec.msgpack.Decoder(Ask).decode
decode_told = msgspec.msgpack.Decoder(Told).decode
_encode = msgspec.msgpack.Encoder().encode


def frame(message: Ask | Told) -> bytes:
    """A message as it goes over the socket."""
    body = _encode(message)
    return len(body).to_bytes(LENGTH_BYTES, "big") + body
