"""Streams, existence, deleting, and scans by prefix."""

from __future__ import annotations

import asyncio

import pytest

from dify_kernel.contracts.storage import Entry, Storage
from dify_kernel.errors import ObjectNotFound
from dify_kernel.testing.honesty import ContractSuite
from dify_kernel.testing.storage.data import keys_of, numbers

__all__ = ["Reading"]


class Reading(ContractSuite, suite=True):
    """What is there is found by exactly its key, in pieces and in order."""

    # -- stream -----------------------------------------------------------------------------------------------

    async def test_streams_in_pieces_of_at_most_the_chunk_size(self, storage: Storage) -> None:
        data = numbers(10_007)
        await storage.save("k", data)
        for size in (1000, 9999, 10_007, 64 * 1024):
            pieces = [piece async for piece in storage.stream("k", chunk_size=size)]
            assert b"".join(pieces) == data
            assert max(map(len, pieces)) <= size

    async def test_streams_pieces_of_64_kib_by_default(self, storage: Storage) -> None:
        data = numbers(200_000)
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
        await storage.save("k", numbers(500_000))
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
        assert await keys_of(storage) == ["a/b2", "a/c/d"]
        await storage.save("a/b", b"again")
        assert await storage.load("a/b") == b"again"

    async def test_deleting_an_absent_object_is_harmless(self, storage: Storage) -> None:
        await storage.save("a/b", b"x")
        for key in ("absent", "a", "a/b/c", "absent/too"):
            await storage.delete(key)
        assert await keys_of(storage) == ["a/b"]

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
            assert await keys_of(storage, prefix) == sorted(key for key in keys if key.startswith(prefix)), prefix

    async def test_scans_in_key_order_over_folders(self, storage: Storage) -> None:
        """Troubleshooting: a folder walk must place `a/b` between `a-b` and `a0`: compare with the slash."""
        keys = ["a/b", "a-b", "a.b", "a0", "aa", "a/b-c", "a/b.c/d", "a/bb/c", "B", "é", "z", "🦊"]
        for key in keys:
            await storage.save(key, b"x")
        assert await keys_of(storage) == sorted(keys)

    async def test_scan_gives_sizes_in_bytes(self, storage: Storage) -> None:
        await storage.save("a/é", "héé".encode())
        await storage.save("b", numbers(70_000))
        assert [entry async for entry in storage.scan()] == [Entry("a/é", 5), Entry("b", 70_000)]

    async def test_scans_more_than_one_page(self, storage: Storage) -> None:
        keys = [f"many/{index:04d}" for index in range(2_500)]
        gate = asyncio.Semaphore(16)

        async def save(key: str) -> None:
            async with gate:
                await storage.save(key, b"x")

        await asyncio.gather(*map(save, keys))
        await storage.save("more", b"x")
        assert await keys_of(storage, "many/") == keys
        assert await keys_of(storage, "many/1") == keys[1000:2000]
        assert await keys_of(storage) == [*keys, "more"]

    async def test_a_scan_bears_changes_around_it(self, storage: Storage) -> None:
        """Every object that is there all the time comes once; what comes and goes meanwhile may come."""
        keys = [f"k{index:03d}" for index in range(60)]
        for key in ("b0", "b1", *keys):
            await storage.save(key, b"x")
        seen = []
        async for entry in storage.scan():
            seen.append(entry.key)
            if entry.key in ("k010", "k030"):  # what the scan has passed goes
                await storage.delete("b0" if entry.key == "k010" else "b1")
            if entry.key in ("k040", "k050"):  # something new comes before and behind it
                await storage.save(f"a/{entry.key}", b"y")
                await storage.save(f"z/{entry.key}", b"y")
        assert [key for key in seen if key in keys] == keys
        assert len(seen) == len(set(seen))

    async def test_a_scan_can_be_left_early(self, storage: Storage) -> None:
        for index in range(20):
            await storage.save(f"k{index:02d}", b"x")
        scan = storage.scan()
        assert (await anext(scan)).key == "k00"
        await scan.aclose()  # type: ignore[attr-defined]
        assert len(await keys_of(storage)) == 20
