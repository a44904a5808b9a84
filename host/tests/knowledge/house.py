"""Wires the services of one tenant together, as the host does, and runs the jobs that they queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from dify_host.db.engine import Database
from dify_host.db.outbox import claim_batch, mark_sent
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id
from dify_host.db.writer import BatchWriter
from dify_host.knowledge.datasets import DatasetDetail, NewDataset
from dify_host.knowledge.documents import DocumentOptions, DocumentText
from dify_host.knowledge.emptying import Emptier
from dify_host.knowledge.indexing import Indexer
from dify_host.knowledge.patience import Patience
from dify_host.knowledge.rebuild import Rebuilder
from dify_host.knowledge.recording import RetrievalLog
from dify_host.knowledge.records import IndexStruct
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.knowledge.rules import ProcessRule, read_rule
from dify_host.knowledge.services import Knowledge
from dify_host.knowledge.tables import datasets, knowledge_tasks
from dify_host.knowledge.tasks import ACTOR, EMPTY, INDEX, QUEUE, REBUILD, RETIRE, SWITCH
from dify_host.knowledge.turns import Handler, TurnRunner
from dify_host.knowledge.vectors import VectorStores
from dify_kernel.contracts.model import ModelInfo, ModelType
from dify_kernel.contracts.vector import Record
from dify_kernel.registry import Registry
from dify_kernel.testing.fake_models import FakeModels
from dify_kernel.testing.memory_storage import MemoryStorage
from dify_kernel.testing.memory_vector import MemoryVectorStore

__all__ = ["MODEL", "House", "custom_rule", "embedded_stores"]

MODEL = "words"
BATCH = 4


@asynccontextmanager
async def embedded_stores(registry: Registry, folder: Path) -> AsyncIterator[VectorStores]:
    """The embedded store where it is installed, else the one in memory."""
    if "sqlite" in registry.names("vdb"):
        env = {"SQLITE_VEC_PATH": str(folder / "vectors.db")}
        stores = VectorStores.from_registry(registry, env, default="sqlite")
    else:
        stores = VectorStores(lambda name: MemoryVectorStore(), default="memory")
    try:
        yield stores
    finally:
        await stores.close()


def custom_rule(max_tokens: int = 100, separator: str = "\n", **parts: Any) -> ProcessRule:
    """A rule that cuts at a separator."""
    pre = [{"id": "remove_extra_spaces", "enabled": True}]
    segmentation = {"max_tokens": max_tokens, "separator": separator}
    return read_rule("custom", {"pre_processing_rules": pre, "segmentation": segmentation, **parts})


class House:
    """One tenant with its services; `models` embeds words, four texts a call."""

    def __init__(
        self, db: Database, stores: VectorStores, *, storage: MemoryStorage | None = None, turn_seconds: float = 60
    ) -> None:
        self.db = db
        self.stores = stores
        self.tenant = Tenant(new_id())
        self.user = new_id()
        self.storage = storage or MemoryStorage()
        info = ModelInfo(model=MODEL, model_type=ModelType.TEXT_EMBEDDING, max_chunks=BATCH)
        self.models = FakeModels(infos={MODEL: info})
        self.rows = KnowledgeRepository(db, self.tenant)
        self.writer = BatchWriter(db)
        self.log = RetrievalLog(self.writer)
        self.knowledge = knowledge = Knowledge(
            db=db, tenant=self.tenant, storage=self.storage, stores=stores, models=self.models, log=self.log
        )
        self.datasets, self.documents, self.segments = knowledge.datasets, knowledge.documents, knowledge.segments
        self.retriever, self.runtime = knowledge.retriever, knowledge.runtime
        self.notified: list[tuple[str, str, str, str]] = []
        self.indexer = Indexer(
            db,
            self.storage,
            stores,
            lambda tenant: self.models,
            notify=lambda *told: self.notified.append(told),
            patience=Patience(pause=0, attempts=4),
        )
        rebuilder = Rebuilder(db, stores, lambda tenant: self.models, patience=Patience(pause=0, attempts=4))
        handlers = {
            INDEX: self.indexer.task,
            REBUILD: rebuilder.document,
            SWITCH: rebuilder.switch,
            RETIRE: rebuilder.retire,
            EMPTY: Emptier(db, stores, lambda tenant: self.models).task,
        }
        self.handlers: dict[str, Handler] = handlers
        self.turn_seconds = turn_seconds

    async def recorded(self) -> None:
        """Write what the log of questions holds, as the end of a process does."""
        self.writer.start()
        await self.log.close()
        await self.writer.close()

    async def blocked(self, work: asyncio.Future[Any]) -> None:
        """Return when somebody waits for a lock, which PostgreSQL tells, or when the work has ended."""
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        while not work.done():
            async with self.db.read() as conn:
                if (await conn.execute(sa.text(waiting))).scalar_one():
                    return

    async def dataset(self, name: str = "Handbook", technique: str | None = "high_quality") -> DatasetDetail:
        """A new knowledge base; high quality ones use the word model."""
        await self.storage.open()
        model = {"embedding_model": MODEL, "embedding_model_provider": "fake"} if technique == "high_quality" else {}
        return await self.datasets.create(NewDataset(name=name, indexing_technique=technique, **model), self.user)  # type: ignore[arg-type]

    async def add(self, dataset_id: str, text: str, name: str = "notes", **options: Any) -> str:
        """A document of this text, indexed."""
        document_id = await self.queue(dataset_id, text, name, **options)
        await self.work()
        return document_id

    async def queue(self, dataset_id: str, text: str, name: str = "notes", **options: Any) -> str:
        """A document of this text, not indexed yet."""
        options.setdefault("process_rule", custom_rule())
        chosen = DocumentOptions(**options)
        made = await self.documents.create_by_text(dataset_id, DocumentText(name=name, text=text), chosen, self.user)
        return made.document.id

    @property
    def turns(self) -> TurnRunner:
        """Runs jobs."""
        return TurnRunner(self.db, self.handlers, seconds=self.turn_seconds)

    async def left(self) -> list[str]:
        """The purposes of all tasks that are not done."""
        async with self.db.read() as conn:
            return list((await conn.execute(sa.select(knowledge_tasks.c.purpose))).scalars())

    async def turn(self) -> int:
        """Run the jobs that are in the queue now, oldest first; returns how many."""
        jobs = await claim_batch(self.db)
        assert all((job.actor, job.queue) == (ACTOR, QUEUE) for job in jobs)
        await mark_sent(self.db, [job.id for job in jobs])
        for job in jobs:
            await self.turns.run(**job.args)
        return len(jobs)

    async def work(self) -> None:
        """Run jobs until none is left."""
        while await self.turn():
            pass

    async def tasks(self) -> list[str]:
        """The ids of the documents that wait to be indexed, oldest first."""
        waiting = sa.select(knowledge_tasks.c.target_id).where(knowledge_tasks.c.purpose == INDEX)
        async with self.db.read() as conn:
            return list((await conn.execute(waiting.order_by(knowledge_tasks.c.id))).scalars())

    async def vectors(self, dataset_id: str) -> list[Record]:
        """Everything the store holds for a knowledge base."""
        async with self.db.read() as conn:
            value = (await conn.execute(sa.select(datasets.c.index_struct).where(datasets.c.id == dataset_id))).scalar()
        index = IndexStruct.read(value)
        if index is None or index.space is None:
            return []
        store = await self.stores.open(index.store)
        records: list[Record] = []
        cursor = None
        while True:
            page = await store.scan(index.space, dataset_id, cursor=cursor)
            records.extend(page.records)
            cursor = page.cursor
            if cursor is None:
                return records
