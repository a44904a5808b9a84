"""Search by vector: exact cosine, order, cut, threshold, and what is refused."""

from __future__ import annotations

import math

import pytest

from dify_kernel.contracts.vector import MAX_LIMIT, And, Compare, VectorStore
from dify_kernel.contracts.vector_rules import cosine
from dify_kernel.errors import InvalidQuery
from dify_kernel.testing.honesty import ContractSuite
from dify_kernel.testing.vector.data import OTHER_SPACE, SPACE, P, X, Y, at_angle, id_of, record, score_is, seed

__all__ = ["Searching"]

ANGLES = (75.0, 0.0, 180.0, 30.0, 120.0, 10.0, 90.0, 150.0)


class Searching(ContractSuite, suite=True):
    """The nearest records, with the same score in every store."""

    async def test_scores_are_exact_cosines_best_first(self, store: VectorStore) -> None:
        """Troubleshooting: convert the engine's distance or score to the cosine; normalise before writing."""
        scales = (1.0, 0.001, 7.0, 250.0, 3.0, 0.5, 1.0, 40.0)
        await seed(store, *[record(a, vector=at_angle(a, s)) for a, s in zip(ANGLES, scales, strict=True)])
        for scale in (1.0, 0.01, 300.0):
            hits = await store.search(SPACE, P, [scale, 0, 0, 0, 0, 0], top_k=8)
            assert [hit.id for hit in hits] == [id_of(a) for a in sorted(ANGLES)]
            assert [hit.score for hit in hits] == [score_is(math.cos(math.radians(a))) for a in sorted(ANGLES)]
        extremes = (1e-200, 1e200, 1e-30, 1e30, 1e-100, 1e100, 1e-40, 1e40)  # beyond what single precision holds
        await seed(store, *[record(a, vector=at_angle(a, s)) for a, s in zip(ANGLES, extremes, strict=True)])
        for scale in (1e-200, 1e200):
            hits = await store.search(SPACE, P, [scale, 0, 0, 0, 0, 0], top_k=8)
            assert [hit.id for hit in hits] == [id_of(a) for a in sorted(ANGLES)], "normalise before single precision"
            assert [hit.score for hit in hits] == [score_is(math.cos(math.radians(a))) for a in sorted(ANGLES)]

    async def test_scores_agree_with_the_definition(self, store: VectorStore) -> None:
        written = {id_of(i): record(i) for i in range(40)}
        await seed(store, *written.values())
        query = record("query").vector
        hits = await store.search(SPACE, P, query, top_k=40)
        assert {hit.id: hit.score for hit in hits} == {
            id: score_is(cosine(query, item.vector)) for id, item in written.items()
        }
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)

    async def test_scores_stay_within_their_range(self, store: VectorStore) -> None:
        """Troubleshooting: rounding carries a cosine beyond 1; clamp it."""
        written = [record(i) for i in range(60)]
        await seed(store, *written)
        for item in written:
            for sign in (1, -1):
                hits = await store.search(SPACE, P, [sign * value for value in item.vector], top_k=60)
                assert all(-1.0 <= hit.score <= 1.0 for hit in hits)

    async def test_hits_carry_text_and_metadata(self, store: VectorStore) -> None:
        await seed(store, record(1, text="the text", page=3, tags=["a", "b"]))
        (hit,) = await store.search(SPACE, P, X)
        assert (hit.id, hit.text, hit.metadata) == (id_of(1), "the text", {"page": 3, "tags": ["a", "b"]})

    async def test_top_k_cuts_the_list(self, store: VectorStore) -> None:
        await seed(store, *[record(a, vector=at_angle(a)) for a in ANGLES])
        best = [id_of(a) for a in sorted(ANGLES)]
        for top_k in (1, 3, 8, 9, 1000, MAX_LIMIT):
            assert [hit.id for hit in await store.search(SPACE, P, X, top_k=top_k)] == best[:top_k]
        assert [hit.id for hit in await store.search(SPACE, P, X)] == best[:4]

    async def test_the_threshold_keeps_equal_or_better(self, store: VectorStore) -> None:
        await seed(store, *[record(a, vector=at_angle(a)) for a in ANGLES])
        for threshold, angles in (
            (0.9, (0, 10)),
            (0.5, (0, 10, 30)),
            (-0.1, (0, 10, 30, 75, 90)),
            (-1.0, sorted(ANGLES)),
            (None, sorted(ANGLES)),
        ):
            hits = await store.search(SPACE, P, X, top_k=8, threshold=threshold)
            assert [hit.id for hit in hits] == [id_of(float(a)) for a in angles], f"threshold {threshold}"
        hits = await store.search(SPACE, P, X, top_k=2, threshold=0.5)
        assert [hit.id for hit in hits] == [id_of(0.0), id_of(10.0)]
        assert await store.search(SPACE, P, [0.0, 0, 0, 0, 0, 1.0], threshold=0.5) == []
        (exact,) = await store.search(SPACE, P, X, top_k=1)
        assert [hit.id for hit in await store.search(SPACE, P, X, threshold=exact.score)] == [exact.id]

    async def test_the_filter_comes_before_the_cut(self, store: VectorStore) -> None:
        near = [record(f"near {i}", vector=at_angle(i), kind="no") for i in range(30)]
        far = [record(f"far {i}", vector=at_angle(60 + i), kind="yes") for i in range(3)]
        await seed(store, *near, *far)
        wanted = Compare("eq", "kind", "yes")
        hits = await store.search(SPACE, P, X, top_k=2, filter=wanted)
        assert [hit.id for hit in hits] == [id_of("far 0"), id_of("far 1")]
        hits = await store.search(SPACE, P, X, top_k=2, filter=Compare("starts_with", "kind", "y"))
        assert [hit.id for hit in hits] == [id_of("far 0"), id_of("far 1")]
        hits = await store.search(SPACE, P, X, top_k=3, threshold=math.cos(math.radians(60.5)), filter=wanted)
        assert [hit.id for hit in hits] == [id_of("far 0")]
        assert await store.search(SPACE, P, X, filter=And([wanted, Compare("eq", "kind", "no")])) == []

    async def test_equal_scores_are_all_found(self, store: VectorStore) -> None:
        await seed(store, *[record(i, vector=Y) for i in range(5)], record("far", vector=at_angle(180)))
        hits = await store.search(SPACE, P, Y, top_k=5)
        assert {hit.id for hit in hits} == {id_of(i) for i in range(5)}

    async def test_an_empty_space_has_no_hits(self, store: VectorStore) -> None:
        await store.create(SPACE)
        assert await store.search(SPACE, P, X) == []

    async def test_bad_queries_are_refused(self, store: VectorStore) -> None:
        await seed(store, record(1))
        for top_k in (0, -1, MAX_LIMIT + 1, 2**64):
            with pytest.raises(InvalidQuery):
                await store.search(SPACE, P, X, top_k=top_k)
        for vector in ([1.0] * 5, [1.0] * 7, [], [0.0] * 6, [math.nan, 1.0, 0, 0, 0, 0], [math.inf, 1.0, 0, 0, 0, 0]):
            with pytest.raises(InvalidQuery):
                await store.search(SPACE, P, vector)

    async def test_dimensions_differ_by_space(self, store: VectorStore) -> None:
        """Troubleshooting: the names of the two differ in case alone; `vector_fit.native_name` keeps them apart."""
        await seed(store, record(1))
        await seed(store, record(2, dimension=8), space=OTHER_SPACE)
        assert len(await store.search(OTHER_SPACE, P, record(2, dimension=8).vector)) == 1
        with pytest.raises(InvalidQuery):
            await store.search(OTHER_SPACE, P, X)
