"""A storage in memory: the reference that the storage suite is tested with, and a fast stand-in for tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import ClassVar

from dify_kernel.contracts.storage import Entry, Storage, StorageCapabilities, check_key
from dify_kernel.errors import ObjectNotFound, StorageUnavailable

__all__ = ["MemoryStorage"]


class MemoryStorage(Storage):
    """Objects in a dict; every call yields to the event loop, as a real one does."""

    capabilities: ClassVar[StorageCapabilities] = StorageCapabilities(persistent=False)

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self._open = False

    async def open(self) -> None:
        await asyncio.sleep(0)
        self._open = True

    async def close(self) -> None:
        await asyncio.sleep(0)
        self._open = False

    async def save(self, key: str, data: bytes | AsyncIterator[bytes]) -> None:
        check_key(key)
        await self._ready()
        self.objects[key] = data if isinstance(data, bytes) else b"".join([piece async for piece in data])

    async def load(self, key: str) -> bytes:
        check_key(key)
        await self._ready()
        try:
            return self.objects[key]
        except KeyError:
            raise ObjectNotFound(f"There is no object {key!r}.", key=key) from None

    async def stream(self, key: str, chunk_size: int = 64 * 1024) -> AsyncIterator[bytes]:
        data = await self.load(key)
        for at in range(0, len(data), chunk_size):
            yield data[at : at + chunk_size]
            await asyncio.sleep(0)

    async def exists(self, key: str) -> bool:
        check_key(key)
        await self._ready()
        return key in self.objects

    async def delete(self, key: str) -> None:
        check_key(key)
        await self._ready()
        self.objects.pop(key, None)

    async def scan(self, prefix: str = "") -> AsyncIterator[Entry]:
        await self._ready()
        for key, data in sorted(self.objects.items()):
            if key.startswith(prefix):
                yield Entry(key, len(data))

    async def _ready(self) -> None:
        """Gives way once, as a storage over a network does."""
        await asyncio.sleep(0)
        if not self._open:
            raise StorageUnavailable("The storage is not open.", hint="Call open first.")
