"""Broken vector stores: what is written, deleted and read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from dify_kernel.contracts.vector import (
    Filter,
    Page,
    Record,
    Space,
)
from dify_kernel.errors import InvalidQuery
from dify_kernel.testing.broken_vector.register import caught_by
from dify_kernel.testing.memory_vector import MemoryVectorStore

replace = msgspec.structs.replace


# -- writing -------------------------------------------------------------------------------------------------------


@caught_by("test_a_written_record_is_visible_at_once")
class ShowsWritesLate(MemoryVectorStore):
    async def upsert(self, space: Space, partition: str, records: Sequence[Record]) -> None:
        self._late = asyncio.ensure_future(self._write(space, partition, list(records)))

    async def _write(self, space: Space, partition: str, records: Sequence[Record]) -> None:
        await asyncio.sleep(0.2)
        await super().upsert(space, partition, records)


@caught_by("test_nothing_to_write_is_harmless")
class NeedsRecords(MemoryVectorStore):
    async def upsert(self, space: Space, partition: str, records: Sequence[Record]) -> None:
        if not records:
            raise InvalidQuery("an empty batch")
        await super().upsert(space, partition, records)


class _Rewrites(MemoryVectorStore):
    """Stores something else than it was given."""

    def rewritten(self, record: Record) -> Record:
        raise NotImplementedError

    async def upsert(self, space: Space, partition: str, records: Sequence[Record]) -> None:
        await super().upsert(space, partition, records)
        held = self._records.get((space.name, partition), {})
        for record in records:
            held[record.id] = self.rewritten(held[record.id])


@caught_by("test_scores_are_exact_cosines_best_first")
class CutsLargeNumbers(_Rewrites):
    def rewritten(self, record: Record) -> Record:
        return replace(record, vector=[max(-3e38, min(3e38, number)) for number in record.vector])


@caught_by("test_every_kind_of_metadata_comes_back")
class NumbersBecomeFloats(_Rewrites):
    def rewritten(self, record: Record) -> Record:
        numbers = {key: float(value) for key, value in record.metadata.items() if type(value) is int}
        return replace(record, metadata={**record.metadata, **numbers})


@caught_by("test_metadata_may_be_named_like_a_field")
class OwnFieldsAmongMetadata(_Rewrites):
    def rewritten(self, record: Record) -> Record:
        return replace(
            record, metadata={**record.metadata, **({"text": record.text} if "text" in record.metadata else {})}
        )


@caught_by("test_any_text_comes_back")
class StripsTexts(_Rewrites):
    def rewritten(self, record: Record) -> Record:
        return replace(record, text=record.text.strip())


@caught_by("test_the_largest_record_comes_back")
class CutsLongTexts(_Rewrites):
    def rewritten(self, record: Record) -> Record:
        return replace(record, text=record.text.encode()[:65_535].decode(errors="ignore"))


@caught_by("test_scan_gives_vectors_in_their_direction")
class TurnsVectorsRound(_Rewrites):
    def rewritten(self, record: Record) -> Record:
        return replace(record, vector=[abs(value) for value in record.vector])


@caught_by("test_the_last_of_equal_ids_counts")
class TheFirstOfEqualIdsCounts(MemoryVectorStore):
    async def upsert(self, space: Space, partition: str, records: Sequence[Record]) -> None:
        await super().upsert(space, partition, records[::-1])


@caught_by("test_equal_records_do_not_become_one")
class KeysByText(MemoryVectorStore):
    async def upsert(self, space: Space, partition: str, records: Sequence[Record]) -> None:
        await super().upsert(space, partition, list({record.text: record for record in records}.values()))


@caught_by("test_bad_records_are_refused_and_nothing_is_written")
class WritesWhatComesBeforeABadOne(MemoryVectorStore):
    async def upsert(self, space: Space, partition: str, records: Sequence[Record]) -> None:
        for record in records:
            await super().upsert(space, partition, [record])


@caught_by("test_what_comes_back_is_the_callers_own")
class GivesItsOwnObjects(MemoryVectorStore):
    async def upsert(self, space: Space, partition: str, records: Sequence[Record]) -> None:
        await super().upsert(space, partition, records)
        self._records[space.name, partition].update({record.id: record for record in records})


# -- deleting and reading ------------------------------------------------------------------------------------------


class _Deletes(MemoryVectorStore):
    """Deletes with other arguments than it was given."""

    def instead(self, ids: Sequence[str] | None, filter: Filter | None) -> dict[str, Any]:
        raise NotImplementedError

    async def delete(
        self, space: Space, partition: str, *, ids: Sequence[str] | None = None, filter: Filter | None = None
    ) -> None:
        await super().delete(space, partition, **{"ids": ids, "filter": filter, **self.instead(ids, filter)})


@caught_by("test_delete_by_ids")
class DeletesOneId(_Deletes):
    def instead(self, ids: Sequence[str] | None, filter: Filter | None) -> dict[str, Any]:
        return {"ids": ids and ids[:1]}


@caught_by("test_delete_by_filter")
class DeletesByFilterWithIdsOnly(_Deletes):
    def instead(self, ids: Sequence[str] | None, filter: Filter | None) -> dict[str, Any]:
        return {"ids": []} if filter is not None and ids is None else {}


@caught_by("test_delete_by_ids_and_filter")
class DeletesByIdsOrFilter(_Deletes):
    def instead(self, ids: Sequence[str] | None, filter: Filter | None) -> dict[str, Any]:
        return {"ids": None} if filter is not None else {}


@caught_by("test_delete_the_partition")
class NeedsIdsOrAFilter(_Deletes):
    def instead(self, ids: Sequence[str] | None, filter: Filter | None) -> dict[str, Any]:
        return {"ids": []} if filter is None and ids is None else {}


@caught_by("test_a_deleted_record_can_be_written_again")
class RemembersTheDead(MemoryVectorStore):
    def __init__(self) -> None:
        super().__init__()
        self._dead: set[str] = set()

    async def delete(
        self, space: Space, partition: str, *, ids: Sequence[str] | None = None, filter: Filter | None = None
    ) -> None:
        await super().delete(space, partition, ids=ids, filter=filter)
        self._dead.update(ids or ())

    async def upsert(self, space: Space, partition: str, records: Sequence[Record]) -> None:
        await super().upsert(space, partition, [record for record in records if record.id not in self._dead])


@caught_by("test_strange_ids_are_unknown_ids")
class IdsMustBeIds(MemoryVectorStore):
    async def get(self, space: Space, partition: str, ids: Sequence[str]) -> list[Record]:
        if not all(len(id) == 36 for id in ids):
            raise InvalidQuery("malformed id")
        return await super().get(space, partition, ids)


@caught_by("test_scan_refuses_bad_arguments")
class TakesAnyCursor(MemoryVectorStore):
    async def scan(self, space: Space, partition: str, *, cursor: str | None = None, limit: int = 100) -> Page:
        known = cursor if cursor and cursor.startswith("after ") else None
        return await super().scan(space, partition, cursor=known, limit=limit)


@caught_by("test_strange_ids_are_unknown_ids")
class EncodesEveryId(MemoryVectorStore):
    async def get(self, space: Space, partition: str, ids: Sequence[str]) -> list[Record]:
        return await super().get(space, partition, [id.encode().decode() for id in ids])
