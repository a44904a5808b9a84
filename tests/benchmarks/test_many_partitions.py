"""Two thousand knowledge bases of ten segments in one store: a search among them beside one in a store with one.

Both ask for the same; what differs is how many other partitions the engine has. The two take turns; machines are noisy,
so of each the least p95 of several rounds counts.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from pathlib import Path

import pytest
from dify_kernel.contracts.vector import Compare, Record, Space, VectorStore
from dify_kernel.testing.vector.data import id_of

from .figures import percentile, show
from .stores import WORDS, engine_memory, opened

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900), pytest.mark.usefixtures("server_collector")]

PARTITIONS, SEGMENTS, DIMENSION = 2_000, 10, 384
SEARCHES, ROUNDS, MOST = 200, 5, 2.0
MANY, ONE = Space("bench_many", DIMENSION), Space("bench_one", DIMENSION)


def segments(partition: int) -> list[Record]:
    """The segments of one knowledge base, the same in every run."""
    chance = random.Random(partition)
    return [
        Record(
            id=id_of(f"{partition} {number}"),
            text=" ".join(chance.choices(WORDS, k=60)),
            vector=[chance.gauss(0, 1) for _ in range(DIMENSION)],
            metadata={"document_id": id_of(f"document {partition} {number // 5}"), "position": number},
        )
        for number in range(SEGMENTS)
    ]


def name_of(partition: int) -> str:
    return id_of(f"knowledge base {partition}")


async def fill(store: VectorStore, space: Space, partitions: int) -> None:
    """Write the knowledge bases, some at a time."""
    await store.create(space)
    gate = asyncio.Semaphore(4)

    async def write(partition: int) -> None:
        async with gate:
            await store.upsert(space, name_of(partition), segments(partition))

    await asyncio.gather(*map(write, range(partitions)))


async def timed(store: VectorStore, space: Space, partition: int, kind: str) -> float:
    """Seconds of one call, which finds what it must."""
    asked = segments(partition)[0]
    start = time.perf_counter()
    if kind == "words":
        hits = await store.full_text(space, name_of(partition), "copper lantern", top_k=4)
    else:
        only = Compare("eq", "document_id", asked.metadata["document_id"]) if kind == "filtered" else None
        hits = await store.search(space, name_of(partition), asked.vector, top_k=4, filter=only)
        assert hits[0].id == asked.id
    seconds = time.perf_counter() - start
    assert hits
    return seconds


async def compared(store: VectorStore, kind: str) -> tuple[float, float]:
    """The least p95 of a search among many and of one alone."""
    chance = random.Random(kind)
    many, one = [], []
    for _ in range(ROUNDS):
        turns = [
            (await timed(store, MANY, chance.randrange(PARTITIONS), kind), await timed(store, ONE, 0, kind))
            for _ in range(SEARCHES)
        ]
        many.append(percentile([among for among, _ in turns], 0.95))
        one.append(percentile([alone for _, alone in turns], 0.95))
    return min(many), min(one)


@pytest.mark.parametrize("name", ["sqlite", "qdrant", "pgvector", "milvus"])
async def test_a_search_among_two_thousand_partitions(name: str, tmp_path: Path) -> None:
    if name == "milvus" and not os.environ.get("DIFY_TEST_MILVUS_URI"):
        pytest.skip("DIFY_TEST_MILVUS_URI names no server, and the engine in a file passes over every record it has")
    async with opened(name, tmp_path) as store:
        for space in (ONE, MANY):
            await store.drop(space)
        await fill(store, ONE, 1)
        before, start = engine_memory(), time.perf_counter()
        await fill(store, MANY, PARTITIONS)
        seconds, grown = time.perf_counter() - start, engine_memory() - before
        rows, ratios = [], {}
        for kind in ("vector", "filtered", "words"):
            many, one = await compared(store, kind)
            ratios[kind] = many / one
            rows.append((kind, f"{many * 1e3:.2f} ms", f"{one * 1e3:.2f} ms", f"{ratios[kind]:.2f}"))
        title = (
            f"{name}: {PARTITIONS} partitions of {SEGMENTS}, written in {seconds:.0f} s, {grown / 2**20:.0f} MiB more"
        )
        show(title, ["search", "p95 among many", "p95 alone", "ratio"], rows)
        for space in (ONE, MANY):
            await store.drop(space)
        assert max(ratios.values()) <= MOST, ratios
