"""Broken vector stores: writes, partitions, filters, scores, scans, words and their fusion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec

from dify_kernel.contracts.vector import Compare, Filter, Hit, Page, Record, Space, VectorCapabilities
from dify_kernel.contracts.vector_rules import matches
from dify_kernel.errors import InvalidQuery
from dify_kernel.testing.broken_vector.register import caught_by
from dify_kernel.testing.memory_vector import MemoryVectorStore


@caught_by("test_a_large_batch")
class DropsAWrite(MemoryVectorStore):
    async def upsert(self, space: Space, partition: str, records: Sequence[Record]) -> None:
        await super().upsert(space, partition, records[:-1] if len(records) > 100 else records)


@caught_by("test_upsert_replaces_the_whole_record")
class KeepsTheOldRecord(MemoryVectorStore):
    async def upsert(self, space: Space, partition: str, records: Sequence[Record]) -> None:
        known = {record.id for record in await self.get(space, partition, [record.id for record in records])}
        await super().upsert(space, partition, [record for record in records if record.id not in known])


@caught_by("test_upsert_replaces_the_whole_record")
class MergesMetadata(MemoryVectorStore):
    async def upsert(self, space: Space, partition: str, records: Sequence[Record]) -> None:
        known = {record.id: record for record in await self.get(space, partition, [record.id for record in records])}
        merged = [
            msgspec.structs.replace(record, metadata={**known[record.id].metadata, **record.metadata})
            if record.id in known
            else record
            for record in records
        ]
        await super().upsert(space, partition, merged)


@caught_by("test_upsert_keeps_the_other_records")
class LosesOthersOnReplace(MemoryVectorStore):
    async def upsert(self, space: Space, partition: str, records: Sequence[Record]) -> None:
        if await self.get(space, partition, [record.id for record in records]):
            await self.delete(space, partition)
        await super().upsert(space, partition, records)


@caught_by("test_partitions_are_isolated")
class LeaksAnotherPartition(MemoryVectorStore):
    def _select(self, space: Space, partition: str, filter: Filter | None) -> list[Record]:
        held = [record for key, part in self._records.items() if key[0] == space.name for record in part.values()]
        return [record for record in held if matches(filter, record.metadata)]


@caught_by("test_partitions_are_isolated")
class DeletesInEveryPartition(MemoryVectorStore):
    async def delete(
        self, space: Space, partition: str, *, ids: Sequence[str] | None = None, filter: Filter | None = None
    ) -> None:
        for name, part in [*self._records]:
            if name == space.name and (ids is not None or part == partition):
                await super().delete(space, part, ids=ids, filter=filter)


@caught_by("test_partitions_are_isolated")
class CutsBeforeThePartition(MemoryVectorStore):
    async def search(self, space: Space, partition: str, vector: Sequence[float], **options: Any) -> list[Hit]:
        top_k = options.get("top_k", 4)
        parts = [part for name, part in self._records if name == space.name]
        found = [
            (hit, part)
            for part in parts
            for hit in await MemoryVectorStore.search(self, space, part, vector, **options)
        ]
        found.sort(key=lambda item: -item[0].score)
        return [hit for hit, part in found[:top_k] if part == partition]


@caught_by("test_search_obeys_every_filter")
class IgnoresTheFilter(MemoryVectorStore):
    async def search(self, space: Space, partition: str, vector: Sequence[float], **options: Any) -> list[Hit]:
        return await super().search(space, partition, vector, **{**options, "filter": None})


@caught_by("test_delete_obeys_every_filter")
class IgnoresTheFilterOfDelete(MemoryVectorStore):
    async def delete(
        self, space: Space, partition: str, *, ids: Sequence[str] | None = None, filter: Filter | None = None
    ) -> None:
        await super().delete(space, partition, ids=ids, filter=None if ids is None else filter)


@caught_by("test_count_obeys_every_filter")
class CountsEverything(MemoryVectorStore):
    async def count(self, space: Space, partition: str, *, filter: Filter | None = None) -> int:
        return await super().count(space, partition)


@caught_by("test_the_filter_comes_before_the_cut")
class FiltersAfterTheCut(MemoryVectorStore):
    async def search(self, space: Space, partition: str, vector: Sequence[float], **options: Any) -> list[Hit]:
        filter = options.pop("filter", None)
        hits = await super().search(space, partition, vector, **options)
        return [hit for hit in hits if matches(filter, hit.metadata)]


@caught_by("test_search_obeys_every_filter")
class MissingFieldIsUnknown(MemoryVectorStore):
    @staticmethod
    def _matches(filter: Filter | None, record: Record) -> bool:
        negative = isinstance(filter, Compare) and filter.op in ("ne", "not_in")
        return matches(filter, record.metadata) and not (
            negative and isinstance(filter, Compare) and filter.field not in record.metadata
        )


@caught_by("test_search_obeys_every_filter")
class FoldsCaseInFilters(MemoryVectorStore):
    @staticmethod
    def _matches(filter: Filter | None, record: Record) -> bool:
        if isinstance(filter, Compare) and filter.op == "eq" and isinstance(filter.value, str):
            return str(record.metadata.get(filter.field)).lower() == filter.value.lower()
        return matches(filter, record.metadata)


@caught_by("test_scores_are_exact_cosines_best_first")
class WrongOrder(MemoryVectorStore):
    async def search(self, space: Space, partition: str, vector: Sequence[float], **options: Any) -> list[Hit]:
        return (await super().search(space, partition, vector, **options))[::-1]


@caught_by("test_scores_are_exact_cosines_best_first")
class HalvesTheScore(MemoryVectorStore):
    async def search(self, space: Space, partition: str, vector: Sequence[float], **options: Any) -> list[Hit]:
        hits = await super().search(space, partition, vector, **options)
        return [msgspec.structs.replace(hit, score=(1 + hit.score) / 2) for hit in hits]


@caught_by("test_the_threshold_keeps_equal_or_better")
class IgnoresTheThreshold(MemoryVectorStore):
    async def search(self, space: Space, partition: str, vector: Sequence[float], **options: Any) -> list[Hit]:
        return await super().search(space, partition, vector, **{**options, "threshold": None})


@caught_by("test_the_threshold_keeps_equal_or_better")
class WantsMoreThanTheThreshold(MemoryVectorStore):
    async def search(self, space: Space, partition: str, vector: Sequence[float], **options: Any) -> list[Hit]:
        hits = await super().search(space, partition, vector, **options)
        threshold = options.get("threshold")
        return [hit for hit in hits if threshold is None or hit.score > threshold]


@caught_by("test_top_k_cuts_the_list")
class OneTooMany(MemoryVectorStore):
    async def search(self, space: Space, partition: str, vector: Sequence[float], **options: Any) -> list[Hit]:
        return await super().search(space, partition, vector, **{**options, "top_k": options.get("top_k", 4) + 1})


@caught_by("test_arguments_are_not_mutated")
class NormalisesInPlace(MemoryVectorStore):
    async def upsert(self, space: Space, partition: str, records: Sequence[Record]) -> None:
        await super().upsert(space, partition, records)
        for record in records:
            if isinstance(record.vector, list):
                record.vector[:] = [value / 2 for value in record.vector]


@caught_by("test_arguments_are_not_mutated")
class MarksMetadata(MemoryVectorStore):
    async def upsert(self, space: Space, partition: str, records: Sequence[Record]) -> None:
        await super().upsert(space, partition, records)
        for record in records:
            record.metadata["partition"] = partition


@caught_by("test_scan_gives_every_record_once")
class ScanSkipsARecord(MemoryVectorStore):
    async def scan(self, space: Space, partition: str, *, cursor: str | None = None, limit: int = 100) -> Page:
        page = await super().scan(space, partition, cursor=cursor, limit=limit)
        return page if cursor is None else msgspec.structs.replace(page, records=page.records[1:])


@caught_by("test_scan_gives_every_record_once")
class ScanRepeatsARecord(MemoryVectorStore):
    async def scan(self, space: Space, partition: str, *, cursor: str | None = None, limit: int = 100) -> Page:
        page = await super().scan(space, partition, cursor=cursor, limit=limit)
        again = f"after {page.records[-2].id}" if page.cursor and len(page.records) > 1 else page.cursor
        return msgspec.structs.replace(page, cursor=again)


@caught_by("test_scan_bears_changes_between_pages")
class ScanCountsItsWay(MemoryVectorStore):
    async def scan(self, space: Space, partition: str, *, cursor: str | None = None, limit: int = 100) -> Page:
        start = int(cursor or 0)
        records = (await super().scan(space, partition, limit=100_000)).records
        more = start + limit < len(records)
        return Page(records=records[start : start + limit], cursor=str(start + limit) if more else None)


@caught_by("test_get_answers_in_the_order_asked")
class GetsInItsOwnOrder(MemoryVectorStore):
    async def get(self, space: Space, partition: str, ids: Sequence[str]) -> list[Record]:
        return sorted(await super().get(space, partition, ids), key=lambda record: record.id)


@caught_by("test_create_is_idempotent_and_keeps_what_is_there")
class CreateEmpties(MemoryVectorStore):
    async def create(self, space: Space) -> None:
        await super().create(space)
        for key in [key for key in self._records if key[0] == space.name]:
            del self._records[key]


@caught_by("test_drop_removes_the_space_only")
class DropRemovesEverything(MemoryVectorStore):
    async def drop(self, space: Space) -> None:
        await super().drop(space)
        self._records.clear()


@caught_by("test_a_space_never_created_is_empty")
class FailsOnAnUnknownSpace(MemoryVectorStore):
    async def search(self, space: Space, partition: str, vector: Sequence[float], **options: Any) -> list[Hit]:
        if space.name not in self._spaces:
            raise InvalidQuery("no such table")
        return await super().search(space, partition, vector, **options)


@caught_by("test_empty_ids_delete_nothing")
class EmptyIdsMeanAll(MemoryVectorStore):
    async def delete(
        self, space: Space, partition: str, *, ids: Sequence[str] | None = None, filter: Filter | None = None
    ) -> None:
        await super().delete(space, partition, ids=ids or None, filter=filter)


@caught_by("test_the_fixture_is_empty_again")
class IsNeverEmpty(MemoryVectorStore):
    _shared: ClassVar[dict[tuple[str, str], dict[str, Record]]] = {}

    def __init__(self) -> None:
        super().__init__()
        self._records = self._shared


@caught_by("test_a_persistent_store_keeps_everything")
class ForgetsOnClose(MemoryVectorStore):
    capabilities = VectorCapabilities(full_text=True, hybrid=True, persistent=True)

    async def close(self) -> None:
        await super().close()
        self._records.clear()


@caught_by("test_full_text_finds_unspaced_scripts")
class KnowsSpacesOnly(MemoryVectorStore):
    async def full_text(self, space: Space, partition: str, query: str, **options: Any) -> list[Hit]:
        hits = await super().full_text(space, partition, query, **options)
        return [hit for hit in hits if set(query.lower().split()) & set(hit.text.lower().split())]


@caught_by("test_full_text_ranks_more_and_rarer_words_first")
class RanksNothing(MemoryVectorStore):
    async def full_text(self, space: Space, partition: str, query: str, **options: Any) -> list[Hit]:
        hits = await super().full_text(space, partition, query, **options)
        return sorted(hits, key=lambda hit: hit.id)


@caught_by("test_full_text_cuts_after_filter_and_partition")
class FullTextFiltersAfterTheCut(MemoryVectorStore):
    async def full_text(self, space: Space, partition: str, query: str, **options: Any) -> list[Hit]:
        filter = options.pop("filter", None)
        hits = await super().full_text(space, partition, query, **options)
        return [hit for hit in hits if matches(filter, hit.metadata)]


@caught_by("test_any_text_is_a_query")
class HasALanguageOfItsOwn(MemoryVectorStore):
    async def full_text(self, space: Space, partition: str, query: str, **options: Any) -> list[Hit]:
        if query.count('"') % 2:
            raise InvalidQuery("unterminated string")
        return await super().full_text(space, partition, query, **options)


@caught_by("test_hybrid_fuses_both_lists_by_reciprocal_rank")
class HybridIsOnlySearch(MemoryVectorStore):
    async def hybrid(
        self, space: Space, partition: str, vector: Sequence[float], query: str, **options: Any
    ) -> list[Hit]:
        return await super().search(space, partition, vector, **options)


@caught_by("test_hybrid_fuses_both_lists_by_reciprocal_rank")
class HybridScoresByRank(MemoryVectorStore):
    async def hybrid(
        self, space: Space, partition: str, vector: Sequence[float], query: str, **options: Any
    ) -> list[Hit]:
        hits = await super().hybrid(space, partition, vector, query, **options)
        return [msgspec.structs.replace(hit, score=1 / (60 + rank)) for rank, hit in enumerate(hits, 1)]
