"""Fits names, texts and waiting into what an engine allows: short or caseless names, bounded strings, late writes."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable

from dify_kernel.errors import StoreUnavailable

__all__ = ["native_name", "split_text", "until_visible"]

_DIGITS = 16


def native_name(name: str, *, prefix: str = "", limit: int = 63) -> str:
    """A name of a space or partition as an engine with short and caseless names takes it, the same for ever.

    Made of a-z, 0-9 and `_`, at most `limit` characters, and another one for every other name: what is readable of it,
    then 16 hexadecimal digits of its hash. The prefix comes first as it is.
    """
    digits = hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=_DIGITS // 2).hexdigest()
    readable = "".join(char if char.isascii() and char.isalnum() else "_" for char in name.lower())
    room = limit - len(prefix) - _DIGITS - 1
    if room < 0:
        raise ValueError(f"{limit} characters have no room for the prefix {prefix!r} and {_DIGITS} digits.")
    return f"{prefix}{readable[:room]}_{digits}"


def split_text(text: str, max_bytes: int) -> list[str]:
    """Pieces of at most `max_bytes` (4 or more) in UTF-8 that join to the text; one empty piece for an empty text."""
    data = text.encode()
    pieces = []
    start = 0
    while len(data) - start > max_bytes:
        end = start + max_bytes
        while data[end] & 0xC0 == 0x80:  # within a character
            end -= 1
        pieces.append(data[start:end].decode())
        start = end
    return [*pieces, data[start:].decode()]


async def until_visible(seen: Callable[[], Awaitable[bool]], *, seconds: float = 30.0) -> None:
    """Wait for what a write did to be seen, asking again after 10 ms, then longer; StoreUnavailable after `seconds`.

    The write itself may be repeated then: it replaces by id.
    """
    deadline = time.monotonic() + seconds
    pause = 0.01
    while not await seen():
        if time.monotonic() + pause > deadline:
            raise StoreUnavailable(
                f"What was written is not visible after {seconds:g} seconds.",
                hint="The store is behind with its index: try again later.",
            )
        await asyncio.sleep(pause)
        pause = min(1.0, pause * 1.6)
