"""Writing, replacing, deleting, and reading back by id and by scan."""

from __future__ import annotations

import asyncio
import copy
import math
from typing import Any

import pytest

from dify_kernel.contracts.vector import (
    MAX_METADATA_BYTES,
    MAX_PARTITION_BYTES,
    MAX_TEXT_BYTES,
    And,
    Compare,
    Not,
    Record,
    VectorStore,
)
from dify_kernel.contracts.vector_rules import cosine
from dify_kernel.errors import InvalidQuery
from dify_kernel.testing.honesty import ContractSuite
from dify_kernel.testing.vector.data import (
    NASTY,
    SPACE,
    P,
    Q,
    X,
    at_angle,
    everything,
    id_of,
    record,
    same,
    score_is,
    seed,
)

__all__ = ["Writing"]


class Writing(ContractSuite, suite=True):
    """What is written comes back as it was, and what is deleted is gone."""

    async def test_a_written_record_is_visible_at_once(self, store: VectorStore) -> None:
        written = record(1, page=1)
        await seed(store, written)
        (stored,) = await store.get(SPACE, P, [written.id])
        assert same(stored, written)
        assert [hit.id for hit in await store.search(SPACE, P, X)] == [written.id]

    async def test_nothing_to_write_is_harmless(self, store: VectorStore) -> None:
        await store.upsert(SPACE, P, [])
        await seed(store)
        assert await store.count(SPACE, P) == 0

    async def test_every_kind_of_metadata_comes_back(self, store: VectorStore) -> None:
        values: dict[str, Any] = {
            "word": "a", "empty": "", "whole": 7, "big": 2**53 + 1, "negative": -3, "fraction": 0.1, "yes": True,
            "no": False, "many": ["b", "a", "b"], "none": [], "_under_score9": "x",
        }  # fmt: skip
        written = record(1, **values)
        await seed(store, written)
        assert same((await store.get(SPACE, P, [written.id]))[0], written)
        assert (await store.search(SPACE, P, X))[0].metadata == values
        assert same((await everything(store))[0], written)

    async def test_metadata_may_be_named_like_a_field(self, store: VectorStore) -> None:
        """Troubleshooting: keep metadata apart from the store's own columns."""
        names = (
            "id",
            "text",
            "vector",
            "metadata",
            "partition",
            "score",
            "content",
            "embedding",
            "rowid",
            "key",
            "select",
        )
        written = Record(id=id_of(1), text="the text", vector=X, metadata=dict.fromkeys(names, "mine"))
        await seed(store, written, record(2))
        assert same((await store.get(SPACE, P, [written.id]))[0], written)
        for name in names:
            (hit,) = await store.search(SPACE, P, X, filter=Compare("eq", name, "mine"))
            assert (hit.id, hit.text, hit.score) == (written.id, "the text", score_is(1.0))

    async def test_any_text_comes_back(self, store: VectorStore) -> None:
        written = [record(text, text=text, value=text, many=[text]) for text in ("", *NASTY)]
        await seed(store, *written)
        stored = await store.get(SPACE, P, [item.id for item in written])
        assert [item.text for item in stored] == ["", *NASTY]
        assert all(same(a, b) for a, b in zip(stored, written, strict=True))
        assert {hit.text for hit in await store.search(SPACE, P, X, top_k=100)} == {"", *NASTY}

    async def test_the_largest_record_comes_back(self, store: VectorStore) -> None:
        """Troubleshooting: keep a text that is over the engine's longest string in pieces (`vector_fit.split_text`)."""
        texts = ["知" * (65_536 // 3), "a" + "é🙂" * (65_530 // 6) + "b" * 9, "🙂 word " * (MAX_TEXT_BYTES // 10)]
        texts = [*texts, "x" * 65_535, "x" * 65_536, "y" * MAX_TEXT_BYTES]
        written = [record(i, text=text, page=i) for i, text in enumerate(texts)]
        heavy = "v" * (MAX_METADATA_BYTES - len('{"value":""}'))
        written.append(record("heavy", vector=X, value=heavy))
        partition = "p" * MAX_PARTITION_BYTES
        await seed(store, *written, partition=partition)
        for item in written:
            (stored,) = await store.get(SPACE, partition, [item.id])
            assert same(stored, item), f"a text of {len(item.text.encode())} bytes came back as another"
        hits = await store.search(SPACE, partition, X, top_k=99)
        assert {hit.id: hit.text for hit in hits} == {item.id: item.text for item in written}
        assert [item.id for item in await everything(store, partition)].count(id_of("heavy")) == 1
        assert await store.count(SPACE, partition, filter=Compare("eq", "value", heavy)) == 1
        assert await store.count(SPACE, partition, filter=Compare("eq", "value", heavy[:-1])) == 0

    async def test_upsert_replaces_the_whole_record(self, store: VectorStore) -> None:
        await seed(store, record(1, text="old", vector=at_angle(10), old=1, both=1), record(2, vector=at_angle(90)))
        await store.upsert(SPACE, P, [record(1, text="new", vector=at_angle(60), new=2, both=2)])
        assert await store.count(SPACE, P) == 2
        (stored,) = await store.get(SPACE, P, [id_of(1)])
        assert (stored.text, stored.metadata) == ("new", {"new": 2, "both": 2})
        first = (await store.search(SPACE, P, X))[0]
        assert (first.id, first.text, first.score) == (id_of(1), "new", score_is(0.5))
        assert await store.count(SPACE, P, filter=Compare("eq", "both", 1)) == 0

    async def test_upsert_keeps_the_other_records(self, store: VectorStore) -> None:
        await seed(store, *[record(i) for i in range(5)])
        await store.upsert(SPACE, P, [record(4, text="changed"), record(5)])
        stored = await store.get(SPACE, P, [id_of(i) for i in range(6)])
        assert [item.text for item in stored] == [*[f"text of {i}" for i in range(4)], "changed", "text of 5"]

    async def test_the_last_of_equal_ids_counts(self, store: VectorStore) -> None:
        await seed(store, record(1, text="first"), record(2), record(1, text="last"))
        assert await store.count(SPACE, P) == 2
        assert [item.text for item in await store.get(SPACE, P, [id_of(1)])] == ["last"]

    async def test_equal_records_do_not_become_one(self, store: VectorStore) -> None:
        """Troubleshooting: the id alone tells records apart, never a hash of the text or the vector."""
        await seed(store, *[record(i, text="the same", vector=X, page=1) for i in range(6)])
        await store.upsert(SPACE, Q, [record("q", text="the same", vector=X, page=1)])
        assert await store.count(SPACE, P) == 6
        assert {hit.id for hit in await store.search(SPACE, P, X, top_k=9)} == {id_of(i) for i in range(6)}
        if store.capabilities.full_text:
            assert len(await store.full_text(SPACE, P, "same", top_k=9)) == 6
        await store.delete(SPACE, P, ids=[id_of(0)])
        assert await store.count(SPACE, P) == 5
        assert await store.count(SPACE, Q) == 1

    async def test_bad_records_are_refused_and_nothing_is_written(self, store: VectorStore) -> None:
        bad = [
            *[record("bad", vector=vector) for vector in ([1.0] * 5, [1.0] * 7, [], [0.0] * 6)],
            *[record("bad", vector=[1.0, value, 0, 0, 0, 0]) for value in (math.nan, math.inf, -math.inf)],
            *[record("bad", value=value) for value in (None, {"a": 1}, [1], ["a", None], math.nan, 2**63)],
            *[Record(id=id_of("bad"), text="", vector=X, metadata={key: 1}) for key in ("", "a-b", "a.b", "é", "1a")],
            *[Record(id=id, text="", vector=X) for id in ("", "7", "x' OR 1=1 --", id_of(1).upper())],
            *[record("bad", text=text) for text in ("\ud800", "a\0b", "é" * (MAX_TEXT_BYTES // 2) + "a")],
            *[record("bad", value=value) for value in ("\0", ["a", "\0"], "\ud800", "v" * MAX_METADATA_BYTES)],
        ]
        await seed(store, record(0))
        for item in bad:
            with pytest.raises(InvalidQuery):
                await store.upsert(SPACE, P, [record(1), item])
        for partition in ("", "a\0b", "\ud800", "p" * (MAX_PARTITION_BYTES + 1)):
            with pytest.raises(InvalidQuery):
                await store.upsert(SPACE, partition, [record(1)])
        assert [item.id for item in await everything(store)] == [id_of(0)]

    async def test_a_large_batch(self, store: VectorStore) -> None:
        written = [record(i, page=i) for i in range(500)]
        await seed(store, *written)
        assert await store.count(SPACE, P) == 500
        stored = {item.id: item for item in await everything(store, limit=64)}
        assert all(same(stored[item.id], item) for item in written)
        best = (await store.search(SPACE, P, written[321].vector, top_k=1))[0]
        assert (best.id, best.score) == (id_of(321), score_is(1.0))
        await store.delete(SPACE, P, ids=[item.id for item in written[:400]])
        assert await store.count(SPACE, P) == 100

    async def test_arguments_are_not_mutated(self, store: VectorStore) -> None:
        records = [record(i, vector=at_angle(i * 30, 3.0), page=i, tags=["a"]) for i in range(3)]
        ids, query = [id_of(1), id_of(0)], at_angle(20, 5.0)
        filter = And([Compare("in", "page", [0, 1, 2]), Not(Compare("eq", "page", 7))])
        before = copy.deepcopy((records, ids, query, filter))
        await store.create(SPACE)
        await store.upsert(SPACE, P, records)
        await store.search(SPACE, P, query, filter=filter)
        if store.capabilities.hybrid:
            await store.hybrid(SPACE, P, query, "text", filter=filter)
        await store.get(SPACE, P, ids)
        await store.count(SPACE, P, filter=filter)
        await store.delete(SPACE, P, ids=ids, filter=filter)
        assert (records, ids, query, filter) == before

    async def test_what_comes_back_is_the_callers_own(self, store: VectorStore) -> None:
        written = record(1, tags=["a"])
        await seed(store, written)
        written.metadata["tags"].append("later")
        (hit,) = await store.search(SPACE, P, X)
        hit.metadata["tags"].append("mine")
        (stored,) = await store.get(SPACE, P, [id_of(1)])
        assert stored.metadata == {"tags": ["a"]}

    # -- delete ------------------------------------------------------------------------------------------------

    async def test_delete_by_ids(self, store: VectorStore) -> None:
        await seed(store, *[record(i) for i in range(4)])
        await store.delete(SPACE, P, ids=[id_of(1), id_of(3), id_of("unknown")])
        assert {item.id for item in await everything(store)} == {id_of(0), id_of(2)}
        assert {hit.id for hit in await store.search(SPACE, P, X)} == {id_of(0), id_of(2)}
        await store.delete(SPACE, P, ids=[id_of(1)])
        assert await store.count(SPACE, P) == 2

    async def test_empty_ids_delete_nothing(self, store: VectorStore) -> None:
        await seed(store, record(1, page=1))
        await store.delete(SPACE, P, ids=[])
        await store.delete(SPACE, P, ids=[], filter=Compare("eq", "page", 1))
        assert await store.count(SPACE, P) == 1

    async def test_delete_by_filter(self, store: VectorStore) -> None:
        await seed(store, *[record(i, page=i) for i in range(5)], record("none"))
        await store.delete(SPACE, P, filter=Compare("ge", "page", 3))
        assert {item.id for item in await everything(store)} == {id_of(0), id_of(1), id_of(2), id_of("none")}

    async def test_delete_by_ids_and_filter(self, store: VectorStore) -> None:
        await seed(store, *[record(i, page=i % 2) for i in range(4)])
        await store.delete(SPACE, P, ids=[id_of(0), id_of(1)], filter=Compare("eq", "page", 1))
        assert {item.id for item in await everything(store)} == {id_of(0), id_of(2), id_of(3)}

    async def test_delete_the_partition(self, store: VectorStore) -> None:
        await seed(store, *[record(i) for i in range(3)])
        await seed(store, record(7), partition=Q)
        await store.delete(SPACE, P)
        assert await store.count(SPACE, P) == 0
        assert await store.search(SPACE, P, X) == []
        assert await store.count(SPACE, Q) == 1
        await store.upsert(SPACE, P, [record(1, text="again")])
        assert [item.text for item in await everything(store)] == ["again"]

    async def test_a_deleted_record_can_be_written_again(self, store: VectorStore) -> None:
        await seed(store, record(1, text="old"))
        await store.delete(SPACE, P, ids=[id_of(1)])
        await store.upsert(SPACE, P, [record(1, text="new")])
        assert [item.text for item in await everything(store)] == ["new"]

    async def test_strange_ids_are_unknown_ids(self, store: VectorStore) -> None:
        await seed(store, record(1))
        strange = ["", "1", "' OR '1'='1", "%", "*", id_of(1)[:-1], id_of(1).upper(), "\0", "\ud800", "é" * 5000]
        assert await store.get(SPACE, P, strange) == []
        await store.delete(SPACE, P, ids=strange)
        assert await store.count(SPACE, P) == 1
        assert [item.id for item in await store.get(SPACE, P, [*strange, id_of(1)])] == [id_of(1)]
        await store.delete(SPACE, P, ids=[*strange, id_of(1)])
        assert await store.count(SPACE, P) == 0

    # -- get and scan --------------------------------------------------------------------------------------------

    async def test_get_answers_in_the_order_asked(self, store: VectorStore) -> None:
        await seed(store, *[record(i) for i in range(5)])
        asked = [id_of(3), id_of("unknown"), id_of(0), id_of(4), id_of(3)]
        assert [item.id for item in await store.get(SPACE, P, asked)] == [id_of(3), id_of(0), id_of(4)]
        assert await store.get(SPACE, P, []) == []

    async def test_scan_gives_every_record_once(self, store: VectorStore) -> None:
        written = {id_of(i): record(i, page=i) for i in range(23)}
        await seed(store, *written.values())
        await seed(store, record("other"), partition=Q)
        orders = []
        for limit in (1, 7, 22, 23, 24, 1000):
            records = await everything(store, limit=limit)
            assert sorted(item.id for item in records) == sorted(written), f"pages of {limit}"
            assert all(same(item, written[item.id]) for item in records)
            orders.append([item.id for item in records])
        assert all(order == orders[0] for order in orders), "the order is not stable"

    async def test_scan_gives_vectors_in_their_direction(self, store: VectorStore) -> None:
        await seed(store, record(1, vector=at_angle(30, 50.0)), record(2, vector=at_angle(150, 0.02)))
        vectors = {item.id: item.vector for item in await everything(store)}
        assert cosine(vectors[id_of(1)], X) == score_is(math.cos(math.radians(30)))
        assert cosine(vectors[id_of(2)], X) == score_is(math.cos(math.radians(150)))

    async def test_scan_bears_changes_between_pages(self, store: VectorStore) -> None:
        """Troubleshooting: a cursor is a place in the order, not a number of records to skip."""
        await seed(store, *[record(i) for i in range(20)])
        order = [item.id for item in await everything(store)]
        page = await store.scan(SPACE, P, limit=8)
        seen = [item.id for item in page.records]
        gone = {order[i] for i in (0, 1, 2, 4, 7, 8, 12)}  # 7 ends the first page, 8 begins the second
        await store.delete(SPACE, P, ids=sorted(gone))
        await store.upsert(SPACE, P, [record("new")])
        await store.upsert(SPACE, P, [record(i, text="again") for i in range(20) if id_of(i) in order[13:]])
        cursor = page.cursor
        while cursor is not None:
            page = await store.scan(SPACE, P, cursor=cursor, limit=8)
            seen += [item.id for item in page.records]
            cursor = page.cursor
        assert len(seen) == len(set(seen)), "a record came twice"
        assert set(order) - gone <= set(seen), "a record was skipped"
        assert not {order[8], order[12]} & set(seen), "a deleted record came"

    async def test_scan_bears_writers_beside_it(self, store: VectorStore) -> None:
        stay = {id_of(i) for i in range(60)}
        await seed(store, *[record(i) for i in range(60)])

        async def write() -> None:
            for i in range(12):
                await store.upsert(SPACE, P, [record(f"new {i}"), record(i, text="again")])
                await store.delete(SPACE, P, ids=[id_of(f"new {i}")])

        writing = asyncio.ensure_future(write())
        scans = await asyncio.gather(*[everything(store, limit=7) for _ in range(3)])
        await writing
        for records in scans:
            seen = [item.id for item in records]
            assert len(seen) == len(set(seen)), "a record came twice"
            assert stay <= set(seen), "a record was skipped"

    async def test_scan_refuses_bad_arguments(self, store: VectorStore) -> None:
        await seed(store, record(1))
        await seed(store, record(2), partition=Q)
        with pytest.raises(InvalidQuery):
            await store.scan(SPACE, P, limit=0)
        with pytest.raises(InvalidQuery):
            await store.scan(SPACE, P, cursor="no such cursor '")
        for cursor in NASTY:
            try:
                page = await store.scan(SPACE, P, cursor=cursor)
            except InvalidQuery:
                continue
            assert {item.id for item in page.records} <= {id_of(1)}, "a cursor reached beyond its partition"
