"""The fixture, opening and closing, hostile keys, errors, concurrency, and signed URLs."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from dify_kernel.contracts.storage import Storage
from dify_kernel.errors import DifyError, InvalidKey, ObjectNotFound, StorageUnavailable
from dify_kernel.testing.honesty import ContractSuite
from dify_kernel.testing.storage.data import BAD_KEYS, ODD_KEYS, join, keys_of, numbers, pieces

__all__ = ["Lifecycle"]


class Lifecycle(ContractSuite, suite=True):
    """A storage is its fixture's own, refuses what leaves its root, and bears many callers."""

    # -- the fixture ------------------------------------------------------------------------------------------

    async def test_starts_empty(self, storage: Storage) -> None:
        """Troubleshooting: the fixture must make a new root (folder, bucket, prefix) for each test."""
        assert await keys_of(storage) == []
        await storage.save("left/behind.txt", b"x")
        await storage.save("left-behind.txt", b"x")

    async def test_starts_empty_again(self, storage: Storage) -> None:
        """Troubleshooting: what the test before left must be gone; remove it when the fixture ends."""
        assert await keys_of(storage) == []
        assert not await storage.exists("left/behind.txt")

    async def test_opening_and_closing_twice_is_harmless(self, storage: Storage) -> None:
        await storage.save("a", b"1")
        await storage.open()
        assert await storage.load("a") == b"1"
        await storage.close()
        await storage.close()

    async def test_a_closed_storage_is_unavailable_until_it_opens(self, storage: Storage) -> None:
        await storage.save("a", b"1")
        await storage.close()
        calls: list[Callable[[], Awaitable[Any]]] = [
            lambda: storage.save("b", b"2"),
            lambda: storage.load("a"),
            lambda: join(storage.stream("a")),
            lambda: storage.exists("a"),
            lambda: storage.delete("a"),
            lambda: keys_of(storage),
        ]
        for call in calls:
            with pytest.raises(StorageUnavailable):
                await call()
        await asyncio.gather(storage.open(), storage.open())
        await storage.save("c", b"3")
        assert await storage.load("c") == b"3"

    async def test_persists_over_close_and_open(self, storage: Storage) -> None:
        if not storage.capabilities.persistent:
            pytest.skip("not persistent")
        await storage.save("dir/a.txt", b"kept")
        await storage.close()
        await storage.open()
        assert await storage.load("dir/a.txt") == b"kept"
        assert await keys_of(storage) == ["dir/a.txt"]

    # -- keys, errors, concurrency ----------------------------------------------------------------------------

    async def test_refuses_keys_outside_the_root(self, storage: Storage) -> None:
        for key in BAD_KEYS:
            calls: list[Callable[[str], Awaitable[Any]]] = [
                lambda key: storage.save(key, b"x"),
                lambda key: storage.save(key, pieces([b"x"])),
                storage.load,
                lambda key: join(storage.stream(key)),
                storage.exists,
                storage.delete,
            ]
            if storage.capabilities.signed_url:
                calls.append(storage.signed_url)
            for call in calls:
                with pytest.raises(InvalidKey):
                    await call(key)
        assert await keys_of(storage) == []

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
        assert await keys_of(storage) == ["k"]

    async def test_serves_concurrent_calls(self, storage: Storage) -> None:
        async def one(index: int) -> None:
            key, data = f"c/{index}", numbers(5_000 + index)
            await storage.save(key, data)
            assert await storage.load(key) == data
            assert await join(storage.stream(key, chunk_size=1024)) == data
            if index % 2:
                await storage.delete(key)

        await asyncio.gather(*(one(index) for index in range(40)))
        assert await keys_of(storage, "c/") == sorted(f"c/{index}" for index in range(0, 40, 2))

    # -- optional ---------------------------------------------------------------------------------------------

    async def test_a_signed_url_serves_the_object(self, storage: Storage) -> None:
        if not storage.capabilities.signed_url:
            pytest.skip("no signed URLs")
        for key in (*ODD_KEYS, "dir/é a.txt"):
            await storage.save(key, key.encode())

        def fetch(url: str) -> bytes:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return bytes(answer.read())

        for key in (*ODD_KEYS, "dir/é a.txt"):
            url = await storage.signed_url(key, expires=60)
            assert url.isascii()
            assert await asyncio.to_thread(fetch, url) == key.encode(), key
