"""Saving and loading whole objects, also when the source breaks or the caller goes away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from dify_kernel.contracts.storage import Entry, Storage
from dify_kernel.errors import ObjectNotFound, StorageError
from dify_kernel.testing.honesty import ContractSuite
from dify_kernel.testing.storage.data import ODD_KEYS, join, keys_of, numbers, pieces, until

__all__ = ["Writing"]


class Writing(ContractSuite, suite=True):
    """An object is there as a whole, or as it was before."""

    # -- save and load ----------------------------------------------------------------------------------------

    async def test_saves_and_loads(self, storage: Storage) -> None:
        await storage.save("dir/sub/file.bin", bytes(range(256)))
        assert await storage.load("dir/sub/file.bin") == bytes(range(256))

    async def test_holds_an_empty_object(self, storage: Storage) -> None:
        await storage.save("empty", b"")
        await storage.save("empty-stream", pieces([]))
        for key in ("empty", "empty-stream"):
            assert await storage.exists(key)
            assert await storage.load(key) == b""
            assert await join(storage.stream(key)) == b""
        assert [entry async for entry in storage.scan()] == [Entry("empty", 0), Entry("empty-stream", 0)]

    async def test_saves_from_an_iterator(self, storage: Storage) -> None:
        data = numbers(300_001)
        await storage.save("streamed", pieces([data[:1], b"", data[1:200_000], data[200_000:]]))
        assert await storage.load("streamed") == data

    async def test_holds_a_large_object(self, storage: Storage) -> None:
        data = numbers(20 * 1024 * 1024 + 17)
        step = 1024 * 1024
        await storage.save("large", data)
        await storage.save("large-stream", pieces(data[at : at + step] for at in range(0, len(data), step)))
        for key in ("large", "large-stream"):
            assert await storage.load(key) == data
            assert await join(storage.stream(key)) == data

    async def test_replaces_what_is_there(self, storage: Storage) -> None:
        await storage.save("k", b"a long first version")
        await storage.save("k", b"short")
        assert await storage.load("k") == b"short"
        await storage.save("k", pieces([b"th", b"ird"]))
        assert await storage.load("k") == b"third"
        assert [entry async for entry in storage.scan()] == [Entry("k", 5)]

    async def test_every_overwrite_is_visible_at_once(self, storage: Storage) -> None:
        """Troubleshooting: nothing may answer from a cache, neither the size nor the bytes."""
        for version in range(12):
            data = numbers(5_000 - version * 300)
            await storage.save("dir/k", data)
            assert await storage.load("dir/k") == data
            assert await join(storage.stream("dir/k", chunk_size=1024)) == data
            assert [entry async for entry in storage.scan("dir/")] == [Entry("dir/k", len(data))]
            if version % 4 == 3:
                await storage.delete("dir/k")
                assert not await storage.exists("dir/k")
                assert await keys_of(storage) == []

    async def test_readers_never_see_a_part(self, storage: Storage) -> None:
        versions = [bytes([65 + index]) * (200_000 + index) for index in range(6)]
        await storage.save("k", versions[0])

        async def write() -> None:
            for version in versions[1:]:
                await storage.save("k", pieces([version[:70_000], version[70_000:]]))

        async def read() -> None:
            for _ in range(12):
                assert await storage.load("k") in versions

        await asyncio.gather(write(), read(), read())
        assert await storage.load("k") == versions[-1]

    async def test_saves_from_many_tiny_pieces(self, storage: Storage) -> None:
        data = numbers(5_000)
        await storage.save("tiny", pieces(data[at : at + 1] for at in range(len(data))))
        assert await storage.load("tiny") == data

    async def test_nothing_is_left_of_a_large_save_that_broke(self, storage: Storage) -> None:
        """Troubleshooting: do not complete an upload in parts in a `finally`; abort it."""
        await storage.save("old", b"old")
        block, started = b"x" * (1024 * 1024), asyncio.Event()

        async def source(fails: bool) -> AsyncIterator[bytes]:
            for _ in range(20):
                yield block
            if fails:
                raise RuntimeError("the source broke")
            started.set()
            await asyncio.Event().wait()

        for key in ("old", "never"):
            with pytest.raises(RuntimeError, match="the source broke"):
                await storage.save(key, source(fails=True))
            started.clear()
            saving = asyncio.create_task(storage.save(key, source(fails=False)))
            await until(started, saving)
            saving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await saving
        assert await storage.load("old") == b"old"
        assert not await storage.exists("never")
        assert [entry async for entry in storage.scan()] == [Entry("old", 3)]

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
        await until(written, saving)
        assert await storage.load("k") == b"old"
        assert await keys_of(storage) == ["k"]
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
        assert await keys_of(storage) == ["old"]

    async def test_a_cancelled_save_leaves_the_old_object(self, storage: Storage) -> None:
        await storage.save("k", b"old")
        started = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            yield b"x" * 100_000
            started.set()
            await asyncio.Event().wait()

        saving = asyncio.create_task(storage.save("k", endless()))
        await until(started, saving)
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
        assert await keys_of(storage) == sorted(ODD_KEYS)

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
        assert {key: await storage.load(key) for key in await keys_of(storage)} == expected
