"""The conformance suite of the storage contract: subclass it and supply one fixture.

    class TestContract(StorageSuite):
        @pytest.fixture
        async def storage(self, tmp_path):
            store = MyStorage(...)
            await store.open()
            yield store
            await store.close()

The fixture yields an opened, empty storage that no other test sees. `capabilities` decides which optional tests run.
"""

from __future__ import annotations

import asyncio
import urllib.request
from array import array
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import pytest

from dify_kernel.contracts.storage import Entry, Storage
from dify_kernel.errors import DifyError, InvalidKey, ObjectNotFound, StorageError
from dify_kernel.testing.honesty import ContractSuite

__all__ = ["StorageSuite"]

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
    "k" * 1025,
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
    "/".join(["x" * 200] * 4),
)


def _numbers(size: int) -> bytes:
    """Bytes of which no two stretches are alike, so that a lost or swapped piece shows."""
    return array("I", range(size // 4 + 1)).tobytes()[:size]


async def _pieces(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        await asyncio.sleep(0)
        yield piece


async def _join(stream: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in stream])


async def _until(event: asyncio.Event, task: asyncio.Task[None]) -> None:
    """Wait for the event; fail when the task ends without it."""
    waiting = asyncio.ensure_future(event.wait())
    await asyncio.wait({waiting, task}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    assert event.is_set(), "save() returned without reading its iterator"


async def _keys(storage: Storage, prefix: str = "") -> list[str]:
    return [entry.key async for entry in storage.scan(prefix)]


class StorageSuite(ContractSuite, suite=True):
    """Every sentence of `dify_kernel.contracts.storage` as a test."""

    # -- the fixture ------------------------------------------------------------------------------------------

    async def test_starts_empty(self, storage: Storage) -> None:
        """Troubleshooting: the fixture must make a new root (folder, bucket, prefix) for each test."""
        assert await _keys(storage) == []
        await storage.save("left/behind.txt", b"x")
        await storage.save("left-behind.txt", b"x")

    async def test_starts_empty_again(self, storage: Storage) -> None:
        """Troubleshooting: what the test before left must be gone; remove it when the fixture ends."""
        assert await _keys(storage) == []
        assert not await storage.exists("left/behind.txt")

    async def test_opening_and_closing_twice_is_harmless(self, storage: Storage) -> None:
        await storage.save("a", b"1")
        await storage.open()
        assert await storage.load("a") == b"1"
        await storage.close()
        await storage.close()

    async def test_persists_over_close_and_open(self, storage: Storage) -> None:
        if not storage.capabilities.persistent:
            pytest.skip("not persistent")
        await storage.save("dir/a.txt", b"kept")
        await storage.close()
        await storage.open()
        assert await storage.load("dir/a.txt") == b"kept"
        assert await _keys(storage) == ["dir/a.txt"]

    # -- save and load ----------------------------------------------------------------------------------------

    async def test_saves_and_loads(self, storage: Storage) -> None:
        await storage.save("dir/sub/file.bin", bytes(range(256)))
        assert await storage.load("dir/sub/file.bin") == bytes(range(256))

    async def test_holds_an_empty_object(self, storage: Storage) -> None:
        await storage.save("empty", b"")
        await storage.save("empty-stream", _pieces([]))
        for key in ("empty", "empty-stream"):
            assert await storage.exists(key)
            assert await storage.load(key) == b""
            assert await _join(storage.stream(key)) == b""
        assert [entry async for entry in storage.scan()] == [Entry("empty", 0), Entry("empty-stream", 0)]

    async def test_saves_from_an_iterator(self, storage: Storage) -> None:
        data = _numbers(300_001)
        await storage.save("streamed", _pieces([data[:1], b"", data[1:200_000], data[200_000:]]))
        assert await storage.load("streamed") == data

    async def test_holds_a_large_object(self, storage: Storage) -> None:
        data = _numbers(20 * 1024 * 1024 + 17)
        step = 1024 * 1024
        await storage.save("large", data)
        await storage.save("large-stream", _pieces(data[at : at + step] for at in range(0, len(data), step)))
        for key in ("large", "large-stream"):
            assert await storage.load(key) == data
            assert await _join(storage.stream(key)) == data

    async def test_replaces_what_is_there(self, storage: Storage) -> None:
        await storage.save("k", b"a long first version")
        await storage.save("k", b"short")
        assert await storage.load("k") == b"short"
        await storage.save("k", _pieces([b"th", b"ird"]))
        assert await storage.load("k") == b"third"
        assert [entry async for entry in storage.scan()] == [Entry("k", 5)]

    async def test_a_reader_sees_the_old_object_while_a_new_one_is_written(self, storage: Storage) -> None:
        """Troubleshooting: write beside the object and rename, or upload and complete at the end."""
        await storage.save("k", b"old")
        written, go_on = asyncio.Event(), asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield b"n" * 100_000
            written.set()
            await go_on.wait()
            yield b"new"

        saving = asyncio.create_task(storage.save("k", slow()))
        await _until(written, saving)
        assert await storage.load("k") == b"old"
        assert await _keys(storage) == ["k"]
        go_on.set()
        await saving
        assert await storage.load("k") == b"n" * 100_000 + b"new"

    async def test_a_failed_save_leaves_the_old_object(self, storage: Storage) -> None:
        await storage.save("old", b"old")

        async def broken() -> AsyncIterator[bytes]:
            yield b"x" * 100_000
            raise RuntimeError("the source broke")

        for key in ("old", "never"):
            with pytest.raises(RuntimeError, match="the source broke"):
                await storage.save(key, broken())
        assert await storage.load("old") == b"old"
        assert not await storage.exists("never")
        assert await _keys(storage) == ["old"]

    async def test_a_cancelled_save_leaves_the_old_object(self, storage: Storage) -> None:
        await storage.save("k", b"old")
        started = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            yield b"x" * 100_000
            started.set()
            await asyncio.Event().wait()

        saving = asyncio.create_task(storage.save("k", endless()))
        await _until(started, saving)
        saving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await saving
        assert await storage.load("k") == b"old"
        await storage.save("k", b"new")
        assert await storage.load("k") == b"new"

    async def test_loading_an_absent_object_is_not_found(self, storage: Storage) -> None:
        await storage.save("dir/file", b"x")
        for key in ("absent", "dir", "dir/absent", "absent/dir/file"):
            with pytest.raises(ObjectNotFound):
                await storage.load(key)

    async def test_keeps_odd_keys_apart(self, storage: Storage) -> None:
        for key in ODD_KEYS:
            await storage.save(key, key.encode())
        for key in ODD_KEYS:
            assert await storage.exists(key)
            assert await storage.load(key) == key.encode()
        assert await _keys(storage) == sorted(ODD_KEYS)

    async def test_an_object_is_never_lost_to_a_key_below_it(self, storage: Storage) -> None:
        """Both objects exist afterwards, or the second one was refused with a StorageError."""
        await storage.save("a", b"object")
        await storage.save("b/c", b"below")
        expected = {"a": b"object", "b/c": b"below"}
        for key in ("a/below", "b"):
            try:
                await storage.save(key, b"second")
                expected[key] = b"second"
            except StorageError:
                assert not await storage.exists(key)
        assert {key: await storage.load(key) for key in await _keys(storage)} == expected

    # -- stream -----------------------------------------------------------------------------------------------

    async def test_streams_in_pieces_of_at_most_the_chunk_size(self, storage: Storage) -> None:
        data = _numbers(10_007)
        await storage.save("k", data)
        for size in (1000, 9999, 10_007, 64 * 1024):
            pieces = [piece async for piece in storage.stream("k", chunk_size=size)]
            assert b"".join(pieces) == data
            assert max(map(len, pieces)) <= size

    async def test_streams_pieces_of_64_kib_by_default(self, storage: Storage) -> None:
        data = _numbers(200_000)
        await storage.save("k", data)
        pieces = [piece async for piece in storage.stream("k")]
        assert b"".join(pieces) == data
        assert max(map(len, pieces)) <= 64 * 1024

    async def test_streaming_an_absent_object_fails_at_the_first_piece(self, storage: Storage) -> None:
        await storage.save("dir/file", b"x")
        for key in ("absent", "dir"):
            stream = storage.stream(key)  # no error yet
            with pytest.raises(ObjectNotFound):
                await anext(stream)

    async def test_a_stream_can_be_left_early(self, storage: Storage) -> None:
        await storage.save("k", _numbers(500_000))
        stream = storage.stream("k", chunk_size=1000)
        assert len(await anext(stream)) <= 1000
        await stream.aclose()  # type: ignore[attr-defined]
        await storage.delete("k")
        assert not await storage.exists("k")

    # -- exists and delete ------------------------------------------------------------------------------------

    async def test_exists_is_exact(self, storage: Storage) -> None:
        await storage.save("dir/file.txt", b"x")
        assert await storage.exists("dir/file.txt") is True
        for key in ("dir", "dir/file", "dir/file.txt2", "dir/file.txt/x", "file.txt", "d"):
            assert await storage.exists(key) is False

    async def test_deletes(self, storage: Storage) -> None:
        for key in ("a/b", "a/b2", "a/c/d"):
            await storage.save(key, b"x")
        await storage.delete("a/b")
        assert not await storage.exists("a/b")
        with pytest.raises(ObjectNotFound):
            await storage.load("a/b")
        assert await _keys(storage) == ["a/b2", "a/c/d"]
        await storage.save("a/b", b"again")
        assert await storage.load("a/b") == b"again"

    async def test_deleting_an_absent_object_is_harmless(self, storage: Storage) -> None:
        await storage.save("a/b", b"x")
        for key in ("absent", "a", "a/b/c", "absent/too"):
            await storage.delete(key)
        assert await _keys(storage) == ["a/b"]

    # -- scan -------------------------------------------------------------------------------------------------

    async def test_scans_by_plain_string_prefix(self, storage: Storage) -> None:
        keys = ["a", "ab", "a-b", "b/ab", "docs/1", "docs/10", "docs/2/x", "docs2/1", "ä/x"]
        for key in keys:
            await storage.save(key, b"x")
        for prefix in (
            "",
            "a",
            "ab",
            "d",
            "docs",
            "docs/",
            "docs/1",
            "docs/2/",
            "docs/2/x",
            "ä",
            "zzz",
            "docs/1/",
            "b/a",
        ):
            assert await _keys(storage, prefix) == sorted(key for key in keys if key.startswith(prefix)), prefix

    async def test_scans_in_key_order_over_folders(self, storage: Storage) -> None:
        """Troubleshooting: a folder walk must place `a/b` between `a-b` and `a0`: compare with the slash."""
        keys = ["a/b", "a-b", "a.b", "a0", "aa", "a/b-c", "a/b.c/d", "a/bb/c", "B", "é", "z", "🦊"]
        for key in keys:
            await storage.save(key, b"x")
        assert await _keys(storage) == sorted(keys)

    async def test_scan_gives_sizes_in_bytes(self, storage: Storage) -> None:
        await storage.save("a/é", "héé".encode())
        await storage.save("b", _numbers(70_000))
        assert [entry async for entry in storage.scan()] == [Entry("a/é", 5), Entry("b", 70_000)]

    async def test_scans_more_than_one_page(self, storage: Storage) -> None:
        keys = [f"many/{index:04d}" for index in range(1_020)]
        gate = asyncio.Semaphore(16)

        async def save(key: str) -> None:
            async with gate:
                await storage.save(key, b"x")

        await asyncio.gather(*map(save, keys))
        assert await _keys(storage, "many/") == keys

    async def test_a_scan_can_be_left_early(self, storage: Storage) -> None:
        for index in range(20):
            await storage.save(f"k{index:02d}", b"x")
        scan = storage.scan()
        assert (await anext(scan)).key == "k00"
        await scan.aclose()  # type: ignore[attr-defined]
        assert len(await _keys(storage)) == 20

    # -- keys, errors, concurrency ----------------------------------------------------------------------------

    async def test_refuses_keys_outside_the_root(self, storage: Storage) -> None:
        for key in BAD_KEYS:
            calls: list[Callable[[str], Awaitable[Any]]] = [
                lambda key: storage.save(key, b"x"),
                lambda key: storage.save(key, _pieces([b"x"])),
                storage.load,
                lambda key: _join(storage.stream(key)),
                storage.exists,
                storage.delete,
            ]
            if storage.capabilities.signed_url:
                calls.append(storage.signed_url)
            for call in calls:
                with pytest.raises(InvalidKey):
                    await call(key)
        assert await _keys(storage) == []

    async def test_errors_are_of_the_family(self, storage: Storage) -> None:
        with pytest.raises(DifyError) as caught:
            await storage.load("absent/object")
        assert isinstance(caught.value, ObjectNotFound)
        assert caught.value.where.get("key") == "absent/object"
        assert not caught.value.retryable

    async def test_concurrent_saves_of_one_key_leave_one_whole_object(self, storage: Storage) -> None:
        versions = [bytes([65 + index]) * (50_000 + index) for index in range(8)]
        await asyncio.gather(*(storage.save("k", version) for version in versions))
        assert await storage.load("k") in versions
        assert await _keys(storage) == ["k"]

    async def test_serves_concurrent_calls(self, storage: Storage) -> None:
        async def one(index: int) -> None:
            key, data = f"c/{index}", _numbers(5_000 + index)
            await storage.save(key, data)
            assert await storage.load(key) == data
            assert await _join(storage.stream(key, chunk_size=1024)) == data
            if index % 2:
                await storage.delete(key)

        await asyncio.gather(*(one(index) for index in range(40)))
        assert await _keys(storage, "c/") == sorted(f"c/{index}" for index in range(0, 40, 2))

    # -- optional ---------------------------------------------------------------------------------------------

    async def test_a_signed_url_serves_the_object(self, storage: Storage) -> None:
        if not storage.capabilities.signed_url:
            pytest.skip("no signed URLs")
        await storage.save("dir/é a.txt", b"signed")
        url = await storage.signed_url("dir/é a.txt", expires=60)

        def fetch() -> bytes:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return bytes(answer.read())

        assert await asyncio.to_thread(fetch) == b"signed"
