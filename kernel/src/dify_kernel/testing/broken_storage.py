"""Storages with one flaw each: the storage suite must fail every one of them, in the test named beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from dify_kernel.contracts.storage import Entry
from dify_kernel.errors import ObjectNotFound
from dify_kernel.testing.memory_storage import MemoryStorage

__all__ = ["BROKEN_STORAGES"]


class _Shared(MemoryStorage):
    """Shows what other tests wrote."""

    everything: Final[dict[str, bytes]] = {}

    def __init__(self) -> None:
        self.objects = self.everything


class _DropsEmpty(MemoryStorage):
    async def save(self, key: str, data: bytes | AsyncIterator[bytes]) -> None:
        await super().save(key, data)
        if not self.objects[key]:
            del self.objects[key]


class _Appends(MemoryStorage):
    async def save(self, key: str, data: bytes | AsyncIterator[bytes]) -> None:
        before = self.objects.get(key, b"")
        await super().save(key, data)
        self.objects[key] = before + self.objects[key]


class _KeepsTheFirst(MemoryStorage):
    async def save(self, key: str, data: bytes | AsyncIterator[bytes]) -> None:
        if key not in self.objects:
            await super().save(key, data)


class _WritesInPlace(MemoryStorage):
    async def save(self, key: str, data: bytes | AsyncIterator[bytes]) -> None:
        if isinstance(data, bytes):
            return await super().save(key, data)
        await super().save(key, b"")
        async for piece in data:
            self.objects[key] += piece
        return None


class _SavesWhatItGot(MemoryStorage):
    """Stores the part that arrived before the source broke."""

    async def save(self, key: str, data: bytes | AsyncIterator[bytes]) -> None:
        if isinstance(data, bytes):
            return await super().save(key, data)
        pieces: list[bytes] = []
        try:
            async for piece in data:
                pieces.append(piece)
        finally:
            self.objects[key] = b"".join(pieces)
        return None


class _CutsLarge(MemoryStorage):
    async def save(self, key: str, data: bytes | AsyncIterator[bytes]) -> None:
        await super().save(key, data)
        self.objects[key] = self.objects[key][: 16 * 1024 * 1024]


class _EmptyForAbsent(MemoryStorage):
    async def load(self, key: str) -> bytes:
        try:
            return await super().load(key)
        except ObjectNotFound:
            return b""


class _KeyError(MemoryStorage):
    """Lets its client's error through."""

    async def load(self, key: str) -> bytes:
        try:
            return await super().load(key)
        except ObjectNotFound:
            raise KeyError(key) from None


class _BigPieces(MemoryStorage):
    async def stream(self, key: str, chunk_size: int = 64 * 1024) -> AsyncIterator[bytes]:
        yield await self.load(key)


class _LosesTheTail(MemoryStorage):
    async def stream(self, key: str, chunk_size: int = 64 * 1024) -> AsyncIterator[bytes]:
        data = await self.load(key)
        for at in range(0, len(data) - chunk_size + 1, chunk_size):
            yield data[at : at + chunk_size]


class _PrefixExists(MemoryStorage):
    async def exists(self, key: str) -> bool:
        await super().exists(key)
        return any(known.startswith(key) for known in self.objects)


class _DeletesBelow(MemoryStorage):
    async def delete(self, key: str) -> None:
        await super().delete(key)
        for known in [known for known in self.objects if known.startswith(key + "/")]:
            del self.objects[known]


class _DeletesNothing(MemoryStorage):
    async def delete(self, key: str) -> None:
        await self.exists(key)


class _ComplainsOfAbsent(MemoryStorage):
    async def delete(self, key: str) -> None:
        await self.load(key)
        await super().delete(key)


class _FoldsCase(MemoryStorage):
    async def save(self, key: str, data: bytes | AsyncIterator[bytes]) -> None:
        await super().save(key.lower(), data)

    async def load(self, key: str) -> bytes:
        return await super().load(key.lower())


class _FolderPrefix(MemoryStorage):
    """Takes a prefix for a folder."""

    async def scan(self, prefix: str = "") -> AsyncIterator[Entry]:
        async for entry in super().scan(prefix and prefix.rstrip("/") + "/"):
            yield entry


class _WriteOrder(MemoryStorage):
    async def scan(self, prefix: str = "") -> AsyncIterator[Entry]:
        await asyncio.sleep(0)
        for key, data in list(self.objects.items()):
            if key.startswith(prefix):
                yield Entry(key, len(data))


class _FolderOrder(MemoryStorage):
    """Compares part by part, as a naive folder walk does."""

    async def scan(self, prefix: str = "") -> AsyncIterator[Entry]:
        entries = [entry async for entry in super().scan(prefix)]
        for entry in sorted(entries, key=lambda entry: entry.key.split("/")):
            yield entry


class _OnePage(MemoryStorage):
    async def scan(self, prefix: str = "") -> AsyncIterator[Entry]:
        seen = 0
        async for entry in super().scan(prefix):
            seen += 1
            if seen > 1000:
                return
            yield entry


class _CountsCharacters(MemoryStorage):
    async def scan(self, prefix: str = "") -> AsyncIterator[Entry]:
        async for entry in super().scan(prefix):
            yield Entry(entry.key, len(self.objects[entry.key].decode("utf-8", "ignore")))


class _AnyKey(MemoryStorage):
    async def save(self, key: str, data: bytes | AsyncIterator[bytes]) -> None:
        await super().save(key.replace("..", "_").strip("/") or "_", data)


class _AnyKeyExists(MemoryStorage):
    async def exists(self, key: str) -> bool:
        return key in self.objects


class _ClosesOnce(MemoryStorage):
    closed = False

    async def close(self) -> None:
        if self.closed:
            raise RuntimeError("closed already")
        self.closed = True


#: Each broken storage with a test that must fail on it.
BROKEN_STORAGES: Final[dict[str, tuple[type[MemoryStorage], str]]] = {
    "shared": (_Shared, "test_starts_empty_again"),
    "drops empty": (_DropsEmpty, "test_holds_an_empty_object"),
    "appends": (_Appends, "test_replaces_what_is_there"),
    "keeps the first": (_KeepsTheFirst, "test_replaces_what_is_there"),
    "writes in place": (_WritesInPlace, "test_a_reader_sees_the_old_object_while_a_new_one_is_written"),
    "saves what it got": (_SavesWhatItGot, "test_a_failed_save_leaves_the_old_object"),
    "cuts large": (_CutsLarge, "test_holds_a_large_object"),
    "empty for absent": (_EmptyForAbsent, "test_loading_an_absent_object_is_not_found"),
    "foreign error": (_KeyError, "test_errors_are_of_the_family"),
    "big pieces": (_BigPieces, "test_streams_in_pieces_of_at_most_the_chunk_size"),
    "loses the tail": (_LosesTheTail, "test_streams_pieces_of_64_kib_by_default"),
    "prefix exists": (_PrefixExists, "test_exists_is_exact"),
    "deletes below": (_DeletesBelow, "test_deleting_an_absent_object_is_harmless"),
    "deletes nothing": (_DeletesNothing, "test_deletes"),
    "complains of absent": (_ComplainsOfAbsent, "test_deleting_an_absent_object_is_harmless"),
    "folds case": (_FoldsCase, "test_keeps_odd_keys_apart"),
    "folder prefix": (_FolderPrefix, "test_scans_by_plain_string_prefix"),
    "write order": (_WriteOrder, "test_scans_in_key_order_over_folders"),
    "folder order": (_FolderOrder, "test_scans_in_key_order_over_folders"),
    "one page": (_OnePage, "test_scans_more_than_one_page"),
    "counts characters": (_CountsCharacters, "test_scan_gives_sizes_in_bytes"),
    "any key": (_AnyKey, "test_refuses_keys_outside_the_root"),
    "any key exists": (_AnyKeyExists, "test_refuses_keys_outside_the_root"),
    "closes once": (_ClosesOnce, "test_opening_and_closing_twice_is_harmless"),
}
