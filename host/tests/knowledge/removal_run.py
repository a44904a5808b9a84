"""A process that indexes, and that deletes what it indexes while the model works; it dies after the next write."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import sqlalchemy as sa
from dify_host.db.engine import Database
from dify_host.db.tenant import Tenant
from dify_host.files.tables import upload_files
from dify_host.knowledge.indexing import Indexer
from dify_host.knowledge.services import Knowledge
from dify_host.knowledge.tasks import INDEX
from dify_host.knowledge.turns import TurnRunner
from dify_host.knowledge.vectors import VectorStores
from dify_kernel.contracts.model import Embeddings, ModelInfo, ModelType
from dify_kernel.registry import Registry
from dify_kernel.testing.fake_models import FakeModels
from dify_kernel.testing.memory_storage import MemoryStorage

__all__ = ["Deleting"]


class Deleting(FakeModels):
    """Deletes, by what it is given, while the second call is under way."""

    def __init__(self) -> None:
        super().__init__(infos={"words": ModelInfo(model="words", model_type=ModelType.TEXT_EMBEDDING, max_chunks=4)})
        self.calls = 0
        self.delete: Callable[[], Awaitable[None]] | None = None

    async def embed(self, provider: str, model: str, texts: Sequence[str], **options: Any) -> Embeddings:
        self.calls += 1
        if self.calls == 2 and self.delete is not None:
            await self.delete()
        return await super().embed(provider, model, texts, **options)


class Fatal:
    """A store after whose upsert the process is no more."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def upsert(self, *args: Any, **options: Any) -> None:
        await self._store.upsert(*args, **options)
        os.kill(os.getpid(), signal.SIGKILL)


class FatalStores(VectorStores):
    """Stores that let the process die after a write."""

    async def ready(self, *args: Any, **options: Any) -> Any:
        return Fatal(await super().ready(*args, **options))


async def main(url: str, vectors: str, tenant_id: str, dataset_id: str, document_id: str, text: str) -> None:
    db, tenant = Database(url), Tenant(tenant_id)
    storage = MemoryStorage()
    await storage.open()
    async with db.read() as conn:
        for key in (await conn.execute(sa.select(upload_files.c.key))).scalars():
            await storage.save(key, text.encode())
    stores = FatalStores.from_registry(Registry(), {"SQLITE_VEC_PATH": vectors}, default="sqlite")
    models = Deleting()
    knowledge = Knowledge(db=db, tenant=tenant, storage=storage, stores=stores, models=models)
    if document_id:
        models.delete = lambda: knowledge.documents.delete(dataset_id, document_id)
    else:
        models.delete = lambda: knowledge.datasets.delete(dataset_id)
    indexer = Indexer(db, storage, stores, lambda tenant: models)
    await TurnRunner(db, {INDEX: indexer.task}).run_here(tenant_id)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5], sys.argv[6]))
