"""A process that imports a knowledge base and kills itself at a given write of vectors."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from dify_host.db.engine import Database
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id
from dify_host.knowledge.portable import Importer
from dify_host.knowledge.vectors import VectorStores
from dify_kernel.registry import Registry
from dify_kernel.testing.fake_models import FakeModels
from dify_kernel.testing.memory_storage import MemoryStorage


async def main(url: str, vectors: str, tenant_id: str, path: str, after: int) -> None:
    db = Database(url)
    storage = MemoryStorage()
    await storage.open()
    stores = VectorStores.from_registry(Registry(), {"SQLITE_VEC_PATH": vectors}, default="sqlite")
    store: Any = await stores.open("sqlite")
    upsert = store.upsert

    async def mortal(*args: Any) -> None:
        if after:
            await upsert(*args)
        os.kill(os.getpid(), signal.SIGKILL)

    store.upsert = mortal
    await Importer(db, Tenant(tenant_id), storage, stores, FakeModels()).run(Path(path), new_id())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5])))
