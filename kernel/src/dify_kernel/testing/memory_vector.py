"""A vector store in memory: the contract in its plainest form, for tests and as the reference of the suite."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Sequence
from typing import ClassVar

from dify_kernel.contracts.lexical import bm25
from dify_kernel.contracts.vector import (
    EngineVersion,
    Filter,
    Hit,
    Page,
    Record,
    Space,
    VectorCapabilities,
    VectorStore,
)
from dify_kernel.contracts.vector_rules import (
    check_filter,
    check_limit,
    check_partition,
    check_query,
    check_records,
    check_space,
    cosine,
    cut,
    fuse,
    matches,
)
from dify_kernel.errors import InvalidQuery, StoreUnavailable

__all__ = ["MemoryVectorStore"]


class MemoryVectorStore(VectorStore):
    """Everything in dictionaries, every search a full pass; what it held is gone when the object is."""

    capabilities: ClassVar[VectorCapabilities] = VectorCapabilities(full_text=True, hybrid=True, persistent=False)

    def __init__(self) -> None:
        self._open = False
        self._spaces: dict[str, Space] = {}
        self._records: dict[tuple[str, str], dict[str, Record]] = {}

    async def open(self) -> None:
        self._open = True

    async def close(self) -> None:
        self._open = False

    async def version(self) -> EngineVersion | None:
        await self._ready()
        return EngineVersion(name="memory", version="1.0", supported=">=1")

    async def create(self, space: Space) -> None:
        await self._ready()
        check_space(space, self.capabilities.max_dimension)
        if self._spaces.setdefault(space.name, space) != space:
            raise InvalidQuery(f"Space {space.name} exists with dimension {self._spaces[space.name].dimension}.")

    async def drop(self, space: Space) -> None:
        await self._ready()
        self._spaces.pop(space.name, None)
        for key in [key for key in self._records if key[0] == space.name]:
            del self._records[key]

    async def upsert(self, space: Space, partition: str, records: Sequence[Record]) -> None:
        await self._ready()
        check_partition(partition)
        check_records(space, records)
        made = self._spaces.get(space.name)
        if records and made is None:
            raise InvalidQuery(f"Space {space.name} was not created.", hint="Call create first.")
        if records and made != space:
            raise InvalidQuery(f"Space {space.name} exists with another dimension than {space.dimension}.")
        held = self._records.setdefault((space.name, partition), {})
        held.update({record.id: _copied(record) for record in records})

    async def delete(
        self,
        space: Space,
        partition: str,
        *,
        ids: Sequence[str] | None = None,
        filter: Filter | None = None,
    ) -> None:
        await self._ready()
        check_filter(filter)
        held = self._records.get((space.name, partition), {})
        wanted = None if ids is None else frozenset(ids)
        for record in self._select(space, partition, filter):
            if wanted is None or record.id in wanted:
                del held[record.id]

    async def search(
        self,
        space: Space,
        partition: str,
        vector: Sequence[float],
        *,
        top_k: int = 4,
        threshold: float | None = None,
        filter: Filter | None = None,
    ) -> list[Hit]:
        await self._ready()
        check_query(space, vector, top_k, filter)
        found = self._select(space, partition, filter)
        scored = sorted(((record, cosine(vector, record.vector)) for record in found), key=lambda item: -item[1])
        return cut([_hit(record, score) for record, score in scored[:top_k]], top_k, threshold)

    async def full_text(
        self, space: Space, partition: str, query: str, *, top_k: int = 4, filter: Filter | None = None
    ) -> list[Hit]:
        await self._ready()
        check_limit("top_k", top_k)
        check_filter(filter)
        records = {record.id: record for record in self._select(space, partition, filter)}
        ranked = bm25(query, {id: record.text for id, record in records.items()})
        return [_hit(records[id], score) for id, score in ranked[:top_k]]

    async def hybrid(
        self,
        space: Space,
        partition: str,
        vector: Sequence[float],
        query: str,
        *,
        top_k: int = 4,
        filter: Filter | None = None,
    ) -> list[Hit]:
        depth = max(1, await self.count(space, partition))
        near = await self.search(space, partition, vector, top_k=depth if top_k > 0 else top_k, filter=filter)
        worded = await self.full_text(space, partition, query, top_k=depth, filter=filter)
        hits = {hit.id: hit for hit in near}
        return [hits[id] for id in fuse([hit.id for hit in near], [hit.id for hit in worded])[:top_k]]

    async def get(self, space: Space, partition: str, ids: Sequence[str]) -> list[Record]:
        await self._ready()
        held = self._records.get((space.name, partition), {})
        return [_copied(held[id]) for id in dict.fromkeys(ids) if id in held]

    async def count(self, space: Space, partition: str, *, filter: Filter | None = None) -> int:
        await self._ready()
        check_filter(filter)
        return len(self._select(space, partition, filter))

    async def scan(self, space: Space, partition: str, *, cursor: str | None = None, limit: int = 100) -> Page:
        await self._ready()
        check_limit("limit", limit)
        held = self._records.get((space.name, partition), {})
        if cursor is not None and not cursor.startswith("after "):
            raise InvalidQuery(f"Cursor {cursor!r} is not one that scan gave.")
        after = cursor.removeprefix("after ") if cursor else ""
        ids = sorted(id for id in held if id > after)
        records = [_copied(held[id]) for id in ids[:limit]]
        return Page(records=records, cursor=f"after {ids[limit - 1]}" if len(ids) > limit else None)

    async def _ready(self) -> None:
        """Gives way once, as a store over a network does, so that concurrency and cancellation are real."""
        await asyncio.sleep(0)
        if not self._open:
            raise StoreUnavailable("The vector store is not open.", hint="Call open first.")

    def _select(self, space: Space, partition: str, filter: Filter | None) -> list[Record]:
        held = self._records.get((space.name, partition), {})
        return [record for record in held.values() if self._matches(filter, record)]

    _matches: Callable[[Filter | None, Record], bool] = staticmethod(
        lambda filter, record: matches(filter, record.metadata)
    )


def _copied(record: Record) -> Record:
    """A record that shares nothing with the caller's."""
    metadata = copy.deepcopy(record.metadata)
    return Record(id=record.id, text=record.text, vector=list(record.vector), metadata=metadata)


def _hit(record: Record, score: float) -> Hit:
    return Hit(id=record.id, text=record.text, score=score, metadata=copy.deepcopy(record.metadata))
