"""What the storage suite writes: bytes whose every stretch differs, hostile and odd keys, and iterators of pieces."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import AsyncIterator, Iterable

from dify_kernel.contracts.storage import Storage

__all__ = ["BAD_KEYS", "ODD_KEYS", "join", "keys_of", "numbers", "pieces", "until"]

BAD_KEYS = (
    "",
    "/",
    "/a",
    "a/",
    "a//b",
    ".",
    "..",
    "../a",
    "a/../b",
    "a/./b",
    "a\\b",
    "a\nb",
    "a\x7f",
    "k" * 241,
    "é" * 121,
    "/".join(["k" * 240] * 4),
    "\ud800",
)
ODD_KEYS = (
    "plain.txt",
    "with space/and more.txt",
    "ünï/日本語/😀.md",
    "100%25 + a&b=c#d?e.txt",
    ".hidden/..a/b...",
    "Case.txt",
    "case.TXT",
    "'; DROP TABLE objects; --",
    'say "hi" <b>&amp;</b>',
    "~tilde/*[x]{y}|z!^`",
    "%2e%2e/%2F%00",
    "-rf/--help",
    "a",
    "a.",
    "deep/" + "d/" * 40 + "end",
    "العربية/עברית",
    "/".join(["x" * 240, "y" * 240, "z" * 240, "w" * 173]),
    "/".join(["é" * 120] * 3),
)


def numbers(size: int) -> bytes:
    """Bytes of which no two stretches are alike, so that a lost or swapped piece shows."""
    return array("I", range(size // 4 + 1)).tobytes()[:size]


async def pieces(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        await asyncio.sleep(0)
        yield piece


async def join(stream: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in stream])


async def until(event: asyncio.Event, task: asyncio.Task[None]) -> None:
    """Wait for the event; fail when the task ends without it."""
    waiting = asyncio.ensure_future(event.wait())
    await asyncio.wait({waiting, task}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    assert event.is_set(), "save() returned without reading its iterator"


async def keys_of(storage: Storage, prefix: str = "") -> list[str]:
    return [entry.key async for entry in storage.scan(prefix)]
