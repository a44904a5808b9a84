"""Broken vector stores: opening, closing, spaces, partitions, concurrency."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from dify_kernel.contracts.vector import (
    Filter,
    Page,
    Record,
    Space,
    VectorCapabilities,
)
from dify_kernel.errors import InvalidQuery
from dify_kernel.testing.broken_vector.register import caught_by
from dify_kernel.testing.memory_vector import MemoryVectorStore

# -- opening, closing, spaces --------------------------------------------------------------------------------------


@caught_by("test_the_fixture_is_empty")
class StartsWithADemo(MemoryVectorStore):
    async def create(self, space: Space) -> None:
        await super().create(space)
        demo = Record(id="00000000-0000-4000-8000-000000000000", text="", vector=[1.0] * space.dimension)
        await super().upsert(space, "6b1f0f2e-0000-4000-8000-000000000001", [demo])


@caught_by("test_capabilities_are_declared_on_the_class")
class HybridWithoutWords(MemoryVectorStore):
    capabilities = VectorCapabilities(full_text=False, hybrid=True, persistent=False)


@caught_by("test_opening_twice_is_harmless")
class OpeningEmpties(MemoryVectorStore):
    async def open(self) -> None:
        await super().open()
        self._records.clear()


@caught_by("test_closing_twice_is_harmless")
class ClosesOnce(MemoryVectorStore):
    async def close(self) -> None:
        await self._ready()
        await super().close()


@caught_by("test_a_closed_store_is_unavailable")
class WorksWhenClosed(MemoryVectorStore):
    async def _ready(self) -> None:
        await asyncio.sleep(0)


@caught_by("test_calls_that_closing_cuts_short_are_unavailable")
class ClosesWithAnErrorOfItsClient(MemoryVectorStore):
    async def _ready(self) -> None:
        before = self._open
        await asyncio.sleep(0)
        if before and not self._open:
            raise RuntimeError("the session is closed")
        await super()._ready()


@caught_by("test_a_closed_store_opens_again")
class OpensOnce(MemoryVectorStore):
    _closed = False

    async def open(self) -> None:
        if not self._closed:
            await super().open()

    async def close(self) -> None:
        self._closed = True
        await super().close()


@caught_by("test_create_may_run_concurrently")
class CreateRaces(MemoryVectorStore):
    async def create(self, space: Space) -> None:
        missing = space.name not in self._spaces
        await super().create(space)
        if missing and self._made.setdefault(space.name, asyncio.current_task()) is not asyncio.current_task():
            raise InvalidQuery("the table exists already")

    def __init__(self) -> None:
        super().__init__()
        self._made: dict[str, Any] = {}


@caught_by("test_create_refuses_another_dimension")
class TakesAnyDimension(MemoryVectorStore):
    async def create(self, space: Space) -> None:
        await super().create(self._spaces.get(space.name, space))


@caught_by("test_create_refuses_bad_spaces")
class TakesAnyName(MemoryVectorStore):
    async def create(self, space: Space) -> None:
        await super().create(Space(space.name.replace("-", "_") or "x", space.dimension))


@caught_by("test_spaces_do_not_share_records")
class FoldsCaseOfSpaces(MemoryVectorStore):
    async def create(self, space: Space) -> None:
        self._spaces[space.name] = space

    async def upsert(self, space: Space, partition: str, records: Sequence[Record]) -> None:
        await super().upsert(space, partition, records)
        for name in self._spaces:
            if name.lower() == space.name.lower():
                self._records[name, partition] = self._records[space.name, partition]


@caught_by("test_drop_of_a_missing_space_is_harmless")
class DropNeedsASpace(MemoryVectorStore):
    async def drop(self, space: Space) -> None:
        del self._spaces[space.name]
        await super().drop(space)


@caught_by("test_a_dropped_space_comes_back_empty")
class DropKeepsRecords(MemoryVectorStore):
    async def drop(self, space: Space) -> None:
        self._spaces.pop(space.name, None)


@caught_by("test_upsert_into_a_space_never_created_is_invalid")
class MakesSpacesItself(MemoryVectorStore):
    async def upsert(self, space: Space, partition: str, records: Sequence[Record]) -> None:
        self._spaces.setdefault(space.name, space)
        await super().upsert(space, partition, records)


@caught_by("test_an_unknown_partition_is_empty")
class PartitionsMustBeKnown(MemoryVectorStore):
    async def count(self, space: Space, partition: str, *, filter: Filter | None = None) -> int:
        if space.name in self._spaces and (space.name, partition) not in self._records:
            raise InvalidQuery("no such tenant")
        return await super().count(space, partition, filter=filter)


@caught_by("test_any_text_names_a_partition")
class FoldsPartitions(MemoryVectorStore):
    async def upsert(self, space: Space, partition: str, records: Sequence[Record]) -> None:
        await super().upsert(space, partition and partition.strip().lower(), records)

    async def scan(self, space: Space, partition: str, *, cursor: str | None = None, limit: int = 100) -> Page:
        return await super().scan(space, partition.strip().lower(), cursor=cursor, limit=limit)


@caught_by("test_an_empty_partition_name_is_invalid")
class TakesNoPartition(MemoryVectorStore):
    async def upsert(self, space: Space, partition: str, records: Sequence[Record]) -> None:
        await super().upsert(space, partition or "default", records)


# -- concurrency ---------------------------------------------------------------------------------------------------


class _ReadsThenWrites(MemoryVectorStore):
    """Reads a partition, gives way, and writes it back as a whole."""

    async def upsert(self, space: Space, partition: str, records: Sequence[Record]) -> None:
        held = dict(self._records.get((space.name, partition), {}))
        await super().upsert(space, partition, records)
        written = {record.id: self._records[space.name, partition][record.id] for record in records}
        await asyncio.sleep(0)
        self._records[space.name, partition] = {**held, **written}


@caught_by("test_calls_may_run_concurrently")
class LosesConcurrentWrites(_ReadsThenWrites):
    pass


@caught_by("test_concurrent_writes_of_one_record_leave_one")
class RefusesConcurrentWrites(MemoryVectorStore):
    _busy = False

    async def upsert(self, space: Space, partition: str, records: Sequence[Record]) -> None:
        if self._busy:
            raise InvalidQuery("version conflict")
        self._busy = True
        await asyncio.sleep(0)
        self._busy = False
        await super().upsert(space, partition, records)


@caught_by("test_a_cancelled_call_leaves_the_store_usable")
class CancellingBreaksIt(MemoryVectorStore):
    async def _ready(self) -> None:
        try:
            await super()._ready()
        except asyncio.CancelledError:
            self._open = False
            raise


@caught_by("test_scan_bears_writers_beside_it")
class ScansByOffset(MemoryVectorStore):
    async def scan(self, space: Space, partition: str, *, cursor: str | None = None, limit: int = 100) -> Page:
        page = await super().scan(space, partition, limit=10**9)
        start = int(cursor or 0)
        more = len(page.records) > start + limit
        return Page(records=page.records[start : start + limit], cursor=str(start + limit) if more else None)


@caught_by("test_an_unknown_partition_is_empty")
class EncodesEveryPartition(MemoryVectorStore):
    async def count(self, space: Space, partition: str, *, filter: Filter | None = None) -> int:
        return await super().count(space, partition.encode().decode(), filter=filter)


@caught_by("test_create_refuses_another_dimension")
class WritesAnyDimension(MemoryVectorStore):
    async def upsert(self, space: Space, partition: str, records: Sequence[Record]) -> None:
        self._spaces[space.name] = space
        await super().upsert(space, partition, records)
