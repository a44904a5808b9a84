"""A process that indexes one document with pictures, and kills itself after so many of them or calls of the model."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from dify_host.db.engine import Database
from dify_host.knowledge.indexing import Indexer
from dify_host.knowledge.picture_fetch import PictureFetcher
from dify_host.knowledge.vectors import VectorStores
from dify_host.net.client import GuardedClient, OutboundSettings
from dify_kernel.registry import Registry
from dify_kernel.testing.memory_storage import MemoryStorage

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    from crash_run import Mortal


class FolderStorage(MemoryStorage):
    """A storage that outlives its process; it dies after so many writes."""

    def __init__(self, folder: Path, writes: int = 1_000_000) -> None:
        super().__init__()
        self.folder = folder
        self.writes = writes

    async def open(self) -> None:
        await super().open()
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        self.objects = {str(path.relative_to(self.folder)): path.read_bytes() for path in files}

    async def save(self, key: str, data: bytes | AsyncIterator[bytes]) -> None:
        await super().save(key, data)
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.objects[key])
        self.writes -= 1
        if self.writes == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    async def delete(self, key: str) -> None:
        await super().delete(key)
        (self.folder / key).unlink(missing_ok=True)


async def main(url: str, vectors: str, folder: str, document_id: str, writes: int, calls: int) -> None:
    db, storage = Database(url), FolderStorage(Path(folder), writes)
    await storage.open()
    stores = VectorStores.from_registry(Registry(), {"SQLITE_VEC_PATH": vectors}, default="sqlite")
    models = Mortal(calls)
    async with GuardedClient(OutboundSettings(ssrf_allowed_hosts=["127.0.0.1"])) as http:
        await Indexer(db, storage, stores, lambda tenant: models, fetcher=PictureFetcher(http)).run(document_id)
    await stores.close()
    await db.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:5], int(sys.argv[5]), int(sys.argv[6])))
