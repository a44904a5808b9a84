"""A process that indexes one document and kills itself at a given call of the model."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from dify_host.db.engine import Database
from dify_host.files.tables import upload_files
from dify_host.knowledge.indexing import Indexer
from dify_host.knowledge.vectors import VectorStores
from dify_kernel.contracts.model import Embeddings, ModelInfo, ModelType
from dify_kernel.registry import Registry
from dify_kernel.testing.fake_models import FakeModels
from dify_kernel.testing.memory_storage import MemoryStorage


class Mortal(FakeModels):
    """Dies, without a chance to say anything, when it has been called so often."""

    def __init__(self, calls: int) -> None:
        super().__init__(infos={"words": ModelInfo(model="words", model_type=ModelType.TEXT_EMBEDDING, max_chunks=4)})
        self.calls = calls

    async def embed(self, provider: str, model: str, texts: Sequence[str], **options: Any) -> Embeddings:
        self.calls -= 1
        if self.calls < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return await super().embed(provider, model, texts, **options)


async def main(url: str, vectors: str, document_id: str, text: str, calls: int) -> None:
    db = Database(url)
    storage = MemoryStorage()
    await storage.open()
    async with db.read() as conn:
        for key in (await conn.execute(sa.select(upload_files.c.key))).scalars():
            await storage.save(key, text.encode())
    stores = VectorStores.from_registry(Registry(), {"SQLITE_VEC_PATH": vectors}, default="sqlite")
    models = Mortal(calls)
    await Indexer(db, storage, stores, lambda tenant: models).run(document_id)
    await stores.close()
    await db.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5])))
