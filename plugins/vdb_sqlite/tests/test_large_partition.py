"""Partitions that are searched by codes first: what is found, with which scores, and files of an earlier version."""

import random
from collections.abc import AsyncIterator
from heapq import nlargest

import apsw
import pytest
from dify_kernel.contracts.vector import Compare, Record, Space
from dify_kernel.contracts.vector_rules import cosine
from dify_kernel.testing.vector.data import SPACE, P, id_of, record, seed
from dify_vdb_sqlite import SqliteVectorSettings, SqliteVectorStore
from dify_vdb_sqlite import nearest as near
from dify_vdb_sqlite.codes import LARGE

WIDE = Space("wide", 64)
COUNT = LARGE + 1500


def sample(*, lean: float) -> list[list[float]]:
    """Vectors in groups; with `lean` all numbers are far above zero, and only their differences tell them apart."""
    chosen = random.Random(7)
    centres = [[chosen.gauss(0, 1) for _ in range(WIDE.dimension)] for _ in range(100)]
    return [[lean + c + chosen.gauss(0, 0.7) for c in centres[i % 100]] for i in range(COUNT)]


async def filled(settings: SqliteVectorSettings, vectors: list[list[float]]) -> SqliteVectorStore:
    store = SqliteVectorStore(settings)
    await store.open()
    await store.create(WIDE)
    records = [
        Record(id=id_of(i), text="", vector=v, metadata={"number": i, "group": i % 100}) for i, v in enumerate(vectors)
    ]
    for start in range(0, COUNT, 1000):
        await store.upsert(WIDE, P, records[start : start + 1000])
    return store


@pytest.fixture(params=[0.0, 20.0], ids=["centred", "leaning"])
async def large(request, settings) -> AsyncIterator[tuple[SqliteVectorStore, list[list[float]]]]:
    vectors = sample(lean=request.param)
    store = await filled(settings, vectors)
    yield store, vectors
    await store.close()


def nearest(query: list[float], vectors: dict[int, list[float]]) -> dict[str, float]:
    scores = {id_of(i): cosine(query, vector) for i, vector in vectors.items()}
    return {id: scores[id] for id in nlargest(10, scores, key=scores.__getitem__)}


async def test_a_large_partition_is_searched_as_if_exactly(large):
    store, vectors = large
    found = 0
    for query in vectors[:: COUNT // 20]:
        wanted = nearest(query, dict(enumerate(vectors)))
        hits = await store.search(WIDE, P, query, top_k=10)
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        for hit in hits:
            number = hit.metadata["number"]
            assert hit.score == pytest.approx(cosine(query, vectors[number]), abs=1e-6)
        found += len(wanted.keys() & {hit.id for hit in hits})
    assert found >= 0.98 * 10 * 21


async def test_a_filter_applies_before_the_nearest_codes_are_chosen(large):
    store, vectors = large
    few = {i: vectors[i] for i in range(3, COUNT, COUNT // 15)}
    hits = await store.search(WIDE, P, vectors[0], top_k=10, filter=Compare("in", "number", list(few)))
    assert {hit.id: pytest.approx(hit.score, abs=1e-6) for hit in hits} == nearest(vectors[0], few)
    assert len(await store.search(WIDE, P, vectors[0], top_k=COUNT, filter=Compare("lt", "number", 4000))) == 4000
    assert len(await store.search(WIDE, P, vectors[0], top_k=COUNT)) == COUNT


@pytest.mark.parametrize(
    "filter",
    [
        None,
        Compare("lt", "number", COUNT // 2),
        Compare("ge", "number", 100),
        Compare("eq", "group", 3),
        Compare("in", "group", list(range(0, 100, 4))),
    ],
    ids=["all", "half", "nearly all", "few that are alike", "groups"],
)
async def test_a_sample_of_the_codes_changes_no_answer(large, monkeypatch, filter):
    store, vectors = large
    found, wanted, limits = [], [], []
    limit = near._Codes._limit
    monkeypatch.setattr(near._Codes, "_limit", lambda *asked: limits.append(limit(*asked)) or limits[-1])
    monkeypatch.setattr(near, "depth_of", lambda records, top_k: 60)
    for answers, least in ((found, 1), (wanted, COUNT + 1)):
        monkeypatch.setattr(near, "SAMPLED", least)
        answers += [await store.search(WIDE, P, query, top_k=20, filter=filter) for query in vectors[:: COUNT // 30]]
    assert found == wanted
    assert any(limits) == (filter is None or filter.op != "eq"), "few records are filtered first"


async def test_what_changes_in_a_large_partition_is_found_as_it_is_now(settings):
    store = await filled(settings, sample(lean=0))
    far = [0.0] * 63 + [1.0]
    await store.upsert(WIDE, P, [Record(id=id_of(17), text="moved", vector=far)])
    await store.upsert(WIDE, P, [Record(id=id_of("new"), text="new", vector=[*far[1:], 0.9])])
    (first, *_) = await store.search(WIDE, P, far, top_k=4)
    assert (first.id, first.score) == (id_of(17), pytest.approx(1.0, abs=1e-6))
    await store.delete(WIDE, P, ids=[id_of(17)])
    assert id_of(17) not in {hit.id for hit in await store.search(WIDE, P, far, top_k=2000)}
    await store.delete(WIDE, P)
    assert await store.search(WIDE, P, far) == []
    await store.upsert(WIDE, P, [Record(id=id_of(1), text="again", vector=far)])
    assert [hit.text for hit in await store.search(WIDE, P, far)] == ["again"]
    await store.close()


async def test_a_file_whose_metadata_stood_beside_the_vectors_is_brought_along(store, settings):
    await seed(store, *[record(i, page=i) for i in range(20)])
    await store.close()
    db = apsw.Connection(str(settings.path))
    db.execute(
        "ALTER TABLE vectors ADD COLUMN metadata BLOB;"
        "UPDATE vectors SET metadata = (SELECT metadata FROM facts WHERE facts.key = vectors.key);"
        "DROP TABLE facts; ALTER TABLE partitions DROP COLUMN levels"
    )
    db.close()
    await store.open()
    hits = await store.search(SPACE, P, [1.0, 0, 0, 0, 0, 0], top_k=30, filter=Compare("ge", "page", 5))
    assert sorted(hit.metadata["page"] for hit in hits) == list(range(5, 20))
    await seed(store, record(99, page=99))
    assert await store.count(SPACE, P) == 21


async def test_a_file_whose_codes_stood_beside_the_metadata_is_brought_along(large, settings):
    store, vectors = large
    before = await store.search(WIDE, P, vectors[5], top_k=20)
    await store.close()
    db = apsw.Connection(str(settings.path))
    db.execute(
        "ALTER TABLE facts ADD COLUMN code BLOB;"
        "UPDATE facts SET code = (SELECT code FROM codes WHERE codes.key = facts.key);"
        "DROP TABLE codes"
    )
    db.close()
    await store.open()
    assert await store.search(WIDE, P, vectors[5], top_k=20) == before
    await store.upsert(WIDE, P, [Record(id=id_of("new"), text="new", vector=vectors[5])])
    assert len(await store.search(WIDE, P, vectors[5], top_k=20)) == 20
    await store.close()


async def test_a_file_that_did_not_count_what_is_gone_is_brought_along(store, settings):
    await seed(store, *[record(i, page=i) for i in range(20)])
    await store.delete(SPACE, P, filter=Compare("lt", "page", 5))
    await store.close()
    db = apsw.Connection(str(settings.path))
    db.execute("ALTER TABLE partitions DROP COLUMN gone")
    db.close()
    await store.open()
    await store.delete(SPACE, P, ids=[id_of(10)])
    db = apsw.Connection(str(settings.path))
    assert db.execute("SELECT next, gone FROM partitions").fetchall() == [(20, 6)]
    db.close()
