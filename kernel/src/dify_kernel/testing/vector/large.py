"""Many records and many partitions: what only shows beyond an engine's page, batch and result limits."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from dify_kernel.contracts.vector import Compare, Filter, Not, VectorStore
from dify_kernel.contracts.vector_rules import cosine
from dify_kernel.testing.honesty import ContractSuite
from dify_kernel.testing.vector.data import SPACE, P, Q, everything, id_of, record, same, score_is, seed

__all__ = ["Large"]

MANY = 10_000
PARTITIONS = 200


class Large(ContractSuite, suite=True):
    """Ten thousand records are written once and then read, searched and deleted; `-m "not large"` leaves this out."""

    @pytest.mark.large
    @pytest.mark.timeout(600)
    async def test_ten_thousand_records(self, store: VectorStore) -> None:
        """Troubleshooting: page through what the engine limits (batches, ids in a call, results, offsets)."""
        written = {id_of(i): record(i, page=i, even=i % 2 == 0) for i in range(MANY)}
        await seed(store, *written.values())
        await store.upsert(SPACE, Q, [record("neighbour", page=1)])
        assert await store.count(SPACE, P) == MANY
        await _search_many(store)
        stored = await everything(store, limit=1000)
        assert len(stored) == MANY
        assert {item.id for item in stored} == set(written)
        assert all(same(item, written[item.id]) for item in stored[::50])
        asked = list(written)[::-1]
        assert [item.id for item in await store.get(SPACE, P, asked)] == asked
        await _delete_many(store)

    @pytest.mark.large
    @pytest.mark.timeout(600)
    async def test_two_hundred_partitions(self, store: VectorStore) -> None:
        """Troubleshooting: map partitions onto tenants or a column, never onto a table or an index of their own."""
        await store.create(SPACE)
        names = [f"partition {i}" for i in range(PARTITIONS)]
        gate = asyncio.Semaphore(8)

        async def write(name: str) -> None:
            async with gate:
                await store.upsert(SPACE, name, [record(f"{name} {j}", place=name) for j in range(3)])

        await asyncio.gather(*map(write, names))
        for name in names:
            hits = await store.search(SPACE, name, record(f"{name} 1").vector, top_k=10)
            assert {hit.id for hit in hits} == {id_of(f"{name} {j}") for j in range(3)}, name
            assert (hits[0].id, hits[0].score) == (id_of(f"{name} 1"), score_is(1.0))
        for name in names[::2]:
            await store.delete(SPACE, name)
        counts = [await store.count(SPACE, name) for name in names]
        assert counts == [0, 3] * (PARTITIONS // 2)


async def _search_many(store: VectorStore) -> None:
    """Lists longer than a page of an engine: complete, in order, exact, and filtered before the cut."""
    query = record("query").vector
    score = {id_of(i): cosine(query, record(i).vector) for i in range(MANY)}
    best = sorted(score.values(), reverse=True)
    for top_k in (1000, MANY, MANY + 1):
        hits = await store.search(SPACE, P, query, top_k=top_k)
        assert len(hits) == min(top_k, MANY), f"top_k {top_k}"
        assert len({hit.id for hit in hits}) == len(hits), "a record is found twice"
        assert all(hit.score == score_is(score[hit.id]) for hit in hits)
        assert all(a.score >= b.score for a, b in pairwise(hits)), "not best first"
        # An approximate index may miss some; what it may not is to look at one page only.
        assert sum(hit.score >= best[len(hits) - 1] - 1e-5 for hit in hits) >= 0.9 * len(hits)
    filters: list[tuple[Filter, range]] = [
        (Compare("ge", "page", MANY - 7), range(MANY - 7, MANY)),
        (Compare("eq", "even", True), range(0, MANY, 2)),
        (Compare("in", "page", list(range(0, MANY, 50))), range(0, MANY, 50)),
        (Not(Compare("lt", "page", 2000)), range(2000, MANY)),
    ]
    for filter, numbers in filters:
        wanted = {id_of(i) for i in numbers}
        assert await store.count(SPACE, P, filter=filter) == len(wanted)
        hits = await store.search(SPACE, P, query, top_k=MANY, filter=filter)
        assert {hit.id for hit in hits} == wanted, filter
    some = Compare("in", "page", list(range(0, MANY, 2500)))
    assert [hit.metadata["page"] for hit in await store.search(SPACE, P, query, top_k=2, filter=some)] == sorted(
        range(0, MANY, 2500), key=lambda i: -score[id_of(i)]
    )[:2]


async def _delete_many(store: VectorStore) -> None:
    """Deletes longer than a batch of an engine, beside which everything else stays."""
    await store.delete(SPACE, P, ids=[id_of(i) for i in range(3000)])
    assert await store.count(SPACE, P) == MANY - 3000
    await store.delete(SPACE, P, filter=Compare("lt", "page", 6000))
    assert await store.count(SPACE, P) == MANY - 6000
    left = {item.id for item in await everything(store, limit=1000)}
    assert left == {id_of(i) for i in range(6000, MANY)}
    await store.delete(SPACE, P)
    assert (await store.count(SPACE, P), await store.count(SPACE, Q)) == (0, 1)
