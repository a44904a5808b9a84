"""Broken vector stores: searches, filters and words with checks left out or limits of an engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec

from dify_kernel.contracts.vector import (
    And,
    Compare,
    Exists,
    Filter,
    Hit,
    Not,
    Or,
    Record,
    Space,
)
from dify_kernel.contracts.vector_rules import check_query, cosine, cut, matches
from dify_kernel.errors import InvalidQuery
from dify_kernel.testing.broken_vector.register import caught_by
from dify_kernel.testing.memory_vector import MemoryVectorStore

replace = msgspec.structs.replace


# -- searching and filters -----------------------------------------------------------------------------------------


class _Finds(MemoryVectorStore):
    """Changes what a search found."""

    def changed(self, hits: list[Hit], top_k: int) -> list[Hit]:
        raise NotImplementedError

    async def search(self, space: Space, partition: str, vector: Sequence[float], **options: Any) -> list[Hit]:
        return self.changed(await super().search(space, partition, vector, **options), options.get("top_k", 4))


@caught_by("test_scores_agree_with_the_definition")
class RoundsScores(_Finds):
    def changed(self, hits: list[Hit], top_k: int) -> list[Hit]:
        return [replace(hit, score=round(hit.score, 3)) for hit in hits]


@caught_by("test_scores_stay_within_their_range")
class ScoresBeyondOne(_Finds):
    def changed(self, hits: list[Hit], top_k: int) -> list[Hit]:
        return [replace(hit, score=hit.score * 1.000001) for hit in hits]


@caught_by("test_hits_carry_text_and_metadata")
class FindsIdsOnly(_Finds):
    def changed(self, hits: list[Hit], top_k: int) -> list[Hit]:
        return [replace(hit, metadata={}) for hit in hits]


@caught_by("test_equal_scores_are_all_found")
class OneOfEachScore(_Finds):
    def changed(self, hits: list[Hit], top_k: int) -> list[Hit]:
        return list({hit.score: hit for hit in hits}.values())


@caught_by("test_ten_thousand_records")
class OnePageOfHits(_Finds):
    def changed(self, hits: list[Hit], top_k: int) -> list[Hit]:
        return hits[:1000]


@caught_by("test_no_filter_finds_everything")
class NeedsAFilter(MemoryVectorStore):
    async def search(self, space: Space, partition: str, vector: Sequence[float], **options: Any) -> list[Hit]:
        found = await super().search(space, partition, vector, **options)
        return found if options.get("filter") is not None else []


@caught_by("test_an_empty_space_has_no_hits")
class FailsOnNothing(MemoryVectorStore):
    async def search(self, space: Space, partition: str, vector: Sequence[float], **options: Any) -> list[Hit]:
        if not await self.count(space, partition):
            raise InvalidQuery("the index is empty")
        return await super().search(space, partition, vector, **options)


class _ChecksLess(MemoryVectorStore):
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
        kept = [record for record in self._select(space, partition, filter) if len(record.vector) == len(vector)]
        hits = [Hit(id=item.id, text=item.text, score=cosine(vector, item.vector)) for item in kept]
        return cut(sorted(hits, key=lambda hit: -hit.score), top_k, threshold)


@caught_by("test_bad_queries_are_refused")
class SearchesWithAnything(_ChecksLess):
    pass


@caught_by("test_dimensions_differ_by_space")
class SearchesAcrossDimensions(_ChecksLess):
    pass


@caught_by("test_bad_filters_are_refused")
class TakesAnyFilter(MemoryVectorStore):
    async def search(self, space: Space, partition: str, vector: Sequence[float], **options: Any) -> list[Hit]:
        check_query(space, vector, options.get("top_k", 4), None)
        known = options.get("filter") if isinstance(options.get("filter"), And | Or | Exists) else None
        return await super().search(space, partition, vector, **{**options, "filter": known})


@caught_by("test_hostile_text_is_only_text")
class ReadsWildcards(MemoryVectorStore):
    @staticmethod
    def _matches(filter: Filter | None, record: Record) -> bool:
        if isinstance(filter, Compare) and filter.op == "eq" and filter.value in ("%", "*"):
            return filter.field in record.metadata
        return matches(filter, record.metadata)


@caught_by("test_a_long_list_of_values")
class CutsLongLists(MemoryVectorStore):
    @staticmethod
    def _matches(filter: Filter | None, record: Record) -> bool:
        if isinstance(filter, Compare) and filter.op in ("in", "not_in"):
            filter = replace(filter, value=filter.value[:1000])
        return matches(filter, record.metadata)


@caught_by("test_a_deep_tree")
class StopsInTheDepth(MemoryVectorStore):
    @staticmethod
    def _matches(filter: Filter | None, record: Record) -> bool:
        inner, depth = filter, 0
        while isinstance(inner, Not | And | Or):
            inner = inner.item if isinstance(inner, Not) else inner.items[0] if inner.items else None
            depth += 1
        return depth < 20 and matches(filter, record.metadata)


@caught_by("test_two_hundred_partitions")
class AHundredTenants(MemoryVectorStore):
    async def upsert(self, space: Space, partition: str, records: Sequence[Record]) -> None:
        if len(self._records) >= 100 and (space.name, partition) not in self._records:
            raise InvalidQuery("too many tenants")
        await super().upsert(space, partition, records)


# -- words ---------------------------------------------------------------------------------------------------------


class _Words(MemoryVectorStore):
    """Changes what words find."""

    def changed(self, query: str, hits: list[Hit]) -> list[Hit]:
        raise NotImplementedError

    async def full_text(self, space: Space, partition: str, query: str, **options: Any) -> list[Hit]:
        return self.changed(query, await super().full_text(space, partition, query, **options))


@caught_by("test_full_text_finds_words")
class NeedsEveryWord(_Words):
    def changed(self, query: str, hits: list[Hit]) -> list[Hit]:
        return [hit for hit in hits if all(word in hit.text.lower() for word in query.lower().split())]


@caught_by("test_full_text_finds_what_a_text_holds")
class GivesFoldedTexts(_Words):
    def changed(self, query: str, hits: list[Hit]) -> list[Hit]:
        return [replace(hit, text=hit.text.lower()) for hit in hits]


@caught_by("test_full_text_finds_what_a_text_holds")
class LosesLongWords(_Words):
    def changed(self, query: str, hits: list[Hit]) -> list[Hit]:
        return [] if max(map(len, query.split()), default=0) > 64 else hits


@caught_by("test_full_text_follows_changes")
class WordsOutliveTheirRecord(MemoryVectorStore):
    def __init__(self) -> None:
        super().__init__()
        self._words = MemoryVectorStore()

    async def upsert(self, space: Space, partition: str, records: Sequence[Record]) -> None:
        await super().upsert(space, partition, records)
        await self._words.open()
        await self._words.create(space)
        await self._words.upsert(space, partition, records)

    async def full_text(self, space: Space, partition: str, query: str, **options: Any) -> list[Hit]:
        return await self._words.full_text(space, partition, query, **options)


@caught_by("test_bad_full_text_queries_are_refused")
class FullTextTakesAnything(MemoryVectorStore):
    async def full_text(self, space: Space, partition: str, query: str, **options: Any) -> list[Hit]:
        return await super().full_text(space, partition, query, **{**options, "top_k": max(1, options.get("top_k", 4))})


class _Hybrid(MemoryVectorStore):
    """Fuses with something of it changed."""

    changes: ClassVar[dict[str, Any]] = {}
    only_near = False

    async def hybrid(
        self, space: Space, partition: str, vector: Sequence[float], query: str, **options: Any
    ) -> list[Hit]:
        options = {**options, **self.changes}
        if self.only_near:
            return await self.search(space, partition, vector, **options)
        return await super().hybrid(space, partition, vector, query, **options)


@caught_by("test_hybrid_finds_what_only_one_list_has")
class HybridForgetsWords(_Hybrid):
    only_near = True


@caught_by("test_hybrid_obeys_filter_and_partition")
class HybridIgnoresTheFilter(_Hybrid):
    changes: ClassVar[dict[str, Any]] = {"filter": None}


@caught_by("test_bad_hybrid_queries_are_refused")
class HybridTakesAnything(_Hybrid):
    changes: ClassVar[dict[str, Any]] = {"top_k": 4}
