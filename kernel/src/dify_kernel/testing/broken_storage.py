"""Storages with one flaw each: the storage suite must fail every one of them, in the test named beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final, TypeVar

from dify_kernel.contracts.storage import Entry, StorageCapabilities, check_key
from dify_kernel.errors import ObjectNotFound, StorageUnavailable
from dify_kernel.testing.memory_storage import MemoryStorage

__all__ = ["BROKEN_STORAGES", "Away", "NeverFindsItsServerAgain"]

T = TypeVar("T")


class _Shared(MemoryStorage):
    """Shows what other tests wrote."""

    everything: Final[dict[str, bytes]] = {}

    def __init__(self) -> None:
        super().__init__()
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
        await super().close()


class _SavesWhatItGotOnCancel(MemoryStorage):
    async def save(self, key: str, data: bytes | AsyncIterator[bytes]) -> None:
        if isinstance(data, bytes):
            return await super().save(key, data)
        parts: list[bytes] = []
        try:
            async for piece in data:
                parts.append(piece)
        except asyncio.CancelledError:
            self.objects[key] = b"".join(parts)
            raise
        self.objects[key] = b"".join(parts)
        return None


class _CompletesParts(MemoryStorage):
    """Every eight megabytes become visible, whatever happens afterwards."""

    async def save(self, key: str, data: bytes | AsyncIterator[bytes]) -> None:
        if isinstance(data, bytes):
            return await super().save(key, data)
        whole = b""
        async for piece in data:
            whole += piece
            if len(whole) > 8 * 1024 * 1024:
                self.objects[key] = whole
        self.objects[key] = whole
        return None


class _WorksWhenClosed(MemoryStorage):
    async def _ready(self) -> None:
        await asyncio.sleep(0)


class _ForgetsOnClose(MemoryStorage):
    capabilities = StorageCapabilities(persistent=True)

    async def close(self) -> None:
        await super().close()
        self.objects.clear()


class _ScansByOffset(MemoryStorage):
    async def scan(self, prefix: str = "") -> AsyncIterator[Entry]:
        at = 0
        while at < len(keys := sorted(key for key in self.objects if key.startswith(prefix))):
            await asyncio.sleep(0)
            yield Entry(keys[at], len(self.objects[keys[at]]))
            at += 1


class _AListForAScan(MemoryStorage):
    """Cannot be left early: what it gives has no end that can be asked for."""

    def scan(self, prefix: str = "") -> AsyncIterator[Entry]:
        return _Endless(super().scan(prefix))


class _AListForAStream(MemoryStorage):
    def stream(self, key: str, chunk_size: int = 64 * 1024) -> AsyncIterator[bytes]:
        return _Endless(super().stream(key, chunk_size))


class _Endless(AsyncIterator[T]):
    def __init__(self, source: AsyncIterator[T]) -> None:
        self._source = source

    async def __anext__(self) -> T:
        return await anext(self._source)


class _SignsTheWrongKey(MemoryStorage):
    capabilities = StorageCapabilities(signed_url=True, persistent=False)

    async def signed_url(self, key: str, expires: int = 300) -> str:
        check_key(key)
        return "data:text/plain,other"


class _LosesTheUpperObject(MemoryStorage):
    async def save(self, key: str, data: bytes | AsyncIterator[bytes]) -> None:
        await super().save(key, data)
        for known in [known for known in self.objects if key.startswith(known + "/")]:
            del self.objects[known]


class _MixesConcurrentSaves(MemoryStorage):
    async def save(self, key: str, data: bytes | AsyncIterator[bytes]) -> None:
        if not isinstance(data, bytes) or not data:
            return await super().save(key, data)
        await super().save(key, data[: len(data) // 2])
        half = self.objects[key]
        await asyncio.sleep(0)
        self.objects[key] = self.objects.get(key, half)[: len(half)] + data[len(data) // 2 :]
        return None


class _CachesReads(MemoryStorage):
    def __init__(self) -> None:
        super().__init__()
        self._cache: dict[str, bytes] = {}

    async def load(self, key: str) -> bytes:
        data = await super().load(key)
        return self._cache.setdefault(key, data)


class _SharesOneBuffer(MemoryStorage):
    """Concurrent streams read from each other's object."""

    _data = b""

    async def load(self, key: str) -> bytes:
        self._data = await super().load(key)
        await asyncio.sleep(0)
        return self._data


class _LosesBytes(MemoryStorage):
    async def save(self, key: str, data: bytes | AsyncIterator[bytes]) -> None:
        await super().save(key, data)
        self.objects[key] = self.objects[key].replace(b"\0", b"")


class _LosesEmptyPieces(MemoryStorage):
    """Takes an empty piece for the end."""

    async def save(self, key: str, data: bytes | AsyncIterator[bytes]) -> None:
        if isinstance(data, bytes):
            return await super().save(key, data)
        pieces = [piece async for piece in data]
        end = pieces.index(b"") if b"" in pieces else len(pieces)
        return await super().save(key, b"".join(pieces[:end]))


class _CountsPieces(MemoryStorage):
    async def save(self, key: str, data: bytes | AsyncIterator[bytes]) -> None:
        if isinstance(data, bytes):
            return await super().save(key, data)
        return await super().save(key, b"".join([piece async for piece in data][:1000]))


class _EmptyStreamForAbsent(MemoryStorage):
    async def stream(self, key: str, chunk_size: int = 64 * 1024) -> AsyncIterator[bytes]:
        if await self.exists(key):
            async for piece in super().stream(key, chunk_size):
                yield piece


class _StartsWithADemo(MemoryStorage):
    def __init__(self) -> None:
        super().__init__()
        self.objects["welcome.txt"] = b"hello"


class Away(MemoryStorage):
    """Given as `unreachable` or `unauthorized`: opening raises `error`."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    async def open(self) -> None:
        raise self._error


class NeverFindsItsServerAgain(MemoryStorage):
    """Stays away once `gone` is set."""

    gone = False

    async def _ready(self) -> None:
        await super()._ready()
        if self.gone:
            raise StorageUnavailable("the connection is broken")


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
    "saves what it got on cancel": (_SavesWhatItGotOnCancel, "test_a_cancelled_save_leaves_the_old_object"),
    "completes parts": (_CompletesParts, "test_nothing_is_left_of_a_large_save_that_broke"),
    "works when closed": (_WorksWhenClosed, "test_a_closed_storage_is_unavailable_until_it_opens"),
    "forgets on close": (_ForgetsOnClose, "test_persists_over_close_and_open"),
    "scans by offset": (_ScansByOffset, "test_a_scan_bears_changes_around_it"),
    "scan without an end": (_AListForAScan, "test_a_scan_can_be_left_early"),
    "stream without an end": (_AListForAStream, "test_a_stream_can_be_left_early"),
    "signs the wrong key": (_SignsTheWrongKey, "test_a_signed_url_serves_the_object"),
    "loses the upper object": (_LosesTheUpperObject, "test_an_object_is_never_lost_to_a_key_below_it"),
    "mixes concurrent saves": (_MixesConcurrentSaves, "test_concurrent_saves_of_one_key_leave_one_whole_object"),
    "caches reads": (_CachesReads, "test_every_overwrite_is_visible_at_once"),
    "shows parts": (_WritesInPlace, "test_readers_never_see_a_part"),
    "shares one buffer": (_SharesOneBuffer, "test_serves_concurrent_calls"),
    "loses bytes": (_LosesBytes, "test_saves_and_loads"),
    "loses empty pieces": (_LosesEmptyPieces, "test_saves_from_an_iterator"),
    "counts pieces": (_CountsPieces, "test_saves_from_many_tiny_pieces"),
    "empty stream for absent": (_EmptyStreamForAbsent, "test_streaming_an_absent_object_fails_at_the_first_piece"),
    "starts with a demo": (_StartsWithADemo, "test_starts_empty"),
}
