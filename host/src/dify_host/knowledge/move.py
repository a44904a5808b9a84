"""Moves a knowledge base to another vector store while it answers and is written to.

It is the making of a new index beside the old one (`rebuild`), for the same embedding model: the documents' vectors are
taken from the old store, both are written to meanwhile, and the new one is compared with it before it is asked.
"""

from __future__ import annotations

from typing import Any

import msgspec
from dify_kernel.errors import BadInput, Conflict
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.db.engine import Database
from dify_host.db.tenant import Tenant
from dify_host.knowledge.rebuild import Rebuild, RebuildState
from dify_host.knowledge.records import Dataset, IndexStruct
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.knowledge.settings import KnowledgeSettings
from dify_host.knowledge.tables import datasets
from dify_host.knowledge.tasks import RETIRE, Tasks
from dify_host.knowledge.vectors import VectorStores

__all__ = ["MovePlan", "MoveState", "Mover"]


class MovePlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a move would do: `records` of `dimension` numbers go from one store to another; none when it is there."""

    dataset_id: str
    name: str
    source: str
    target: str
    records: int
    dimension: int


class MoveState(msgspec.Struct, frozen=True, kw_only=True):
    """How far a move is: which store answers, what is not copied yet, whether the old one is to be emptied still.

    `error` is why it does not go on by itself.
    """

    store: str
    moving: bool
    documents_left: int
    emptying: bool
    error: str | None

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return not self.moving and not self.emptying


class Mover:
    """Moves the knowledge bases of one tenant."""

    def __init__(
        self, db: Database, tenant: Tenant, stores: VectorStores, *, settings: KnowledgeSettings | None = None
    ) -> None:
        self._rows = KnowledgeRepository(db, tenant)
        self._stores = stores
        slots = (settings or KnowledgeSettings()).tenant_isolated_task_concurrency
        self._tasks = Tasks(db, tenant, slots=slots)
        self._rebuild = Rebuild(self._rows, self._tasks)

    async def plan(self, dataset_id: str, store: str) -> MovePlan:
        """What a move would do, and whether it can be done; nothing is changed.

        PluginNotFound for a store that is not installed. BadInput for a base without vectors, or one that the store
        cannot hold or search as its settings say. Conflict while a new index is made for another model.
        """
        async with self._rows.db.read() as conn:
            dataset = await self._rows.dataset(conn, dataset_id)
        index = _index(dataset)
        able = (await self._stores.open(store)).capabilities
        if index.dimension > able.max_dimension:
            raise BadInput(
                f"{store} holds vectors of {able.max_dimension} numbers, and these have {index.dimension}.", store=store
            )
        method = (dataset.retrieval_model or {}).get("search_method") or "semantic_search"
        methods = self._stores.search_methods(store)
        if method != "keyword_search" and method not in methods:
            raise BadInput(
                f"Knowledge base {dataset.name} is searched by {method}, and {store} has {', '.join(methods)}.",
                hint="Choose one of these in its settings first.",
                store=store,
            )
        searched = dataset.searched.index or index
        records = 0
        if searched.space is not None and searched.store != store:
            opened = await self._stores.ready(searched.store, searched.space)
            records = await opened.count(searched.space, dataset.id)
        return MovePlan(
            dataset_id=dataset.id,
            name=dataset.name,
            source=searched.store,
            target=store,
            records=records,
            dimension=index.dimension,
        )

    async def begin(self, dataset_id: str, store: str, user_id: str) -> None:
        """Begin to move, or try again what failed; naming the store that answers ends a move. Errors are `plan`'s."""
        await self.plan(dataset_id, store)
        async with self._rows.db.write() as conn:
            current = await self._rows.dataset(conn, dataset_id, lock=True)
            index = _index(current)
            if index.store == store:
                await self._rebuild.again(conn, dataset_id)
                return
            moved = msgspec.structs.replace(index, store=store)
            values: dict[str, Any] = {**current.place, "index_struct": moved.stored()}
            values = await self._rebuild.begin(conn, current, values)
            change = self._rows.scoped_update(datasets, {**values, "updated_by": user_id})
            await conn.execute(change.where(datasets.c.id == dataset_id))

    async def state(self, dataset_id: str) -> MoveState:
        """How far a move is; of a base that does not move, where it is."""
        async with self._rows.db.read() as conn:
            dataset = await self._rows.dataset(conn, dataset_id)
            rebuild = await self._rebuild.state(conn, dataset) or RebuildState(documents_left=0, error=None)
            emptying, error = await self._retiring(conn, dataset)
        index = dataset.searched.index
        return MoveState(
            store=index.store if index else "",
            moving=dataset.serving is not None,
            documents_left=rebuild.documents_left,
            emptying=emptying,
            error=rebuild.error or error,
        )

    async def _retiring(self, conn: AsyncConnection, dataset: Dataset) -> tuple[bool, str | None]:
        left, error = await self._tasks.left(conn, RETIRE, dataset.id)
        return left > 0, error


def _index(dataset: Dataset) -> IndexStruct:
    """Where its vectors go; BadInput without any, Conflict while they are those of two models."""
    index = dataset.index
    if index is None:
        raise BadInput(
            f"Knowledge base {dataset.name} has no vectors to move.",
            hint="Only high-quality knowledge bases are in a vector store.",
            dataset_id=dataset.id,
        )
    if dataset.serving is not None and dataset.moved_from is None:
        raise Conflict(
            f"A new index of knowledge base {dataset.name} is being made for another model.",
            hint="Move it when that is done.",
            dataset_id=dataset.id,
        )
    return index
