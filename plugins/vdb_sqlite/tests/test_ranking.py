"""Ranking by words when much is left out: what cannot win, and records of words that nearly all hold."""

import asyncio
import random

import pytest
from dify_kernel.contracts.vector import Compare
from dify_kernel.testing.vector.data import SPACE, P, id_of, record
from dify_vdb_sqlite import SqliteVectorStore, full_text

RECORDS = 1500


@pytest.fixture
async def worded(store: SqliteVectorStore) -> SqliteVectorStore:
    """Records whose words are rare and common as in a language, beside somebody else's."""
    drawn = random.Random(3)

    def text() -> str:
        return " ".join(f"w{int(300 * drawn.random() ** 3)}" for _ in range(drawn.choice((3, 12, 30))))

    await store.create(SPACE)
    await store.upsert(SPACE, "stranger", [record(f"other {i}", text="w1 w250 other") for i in range(400)])
    await store.upsert(SPACE, P, [record(i, text=text(), page=i) for i in range(RECORDS)])
    return store


async def ranking(store: SqliteVectorStore, query: str, **asked: object) -> list[tuple[float, str]]:
    hits = await store.full_text(SPACE, P, query, **asked)
    return [(hit.score, hit.id) for hit in hits]


async def test_leaving_out_what_cannot_win_changes_no_ranking(worded, monkeypatch):
    chosen = random.Random(5)
    spared: list[object] = []
    add = full_text._add
    monkeypatch.setattr(full_text, "_add", lambda *asked: spared.append(asked) or add(*asked))
    for _ in range(60):
        words = {f"w{int(300 * chosen.random() ** chosen.choice((1, 2, 3)))}" for _ in range(chosen.randint(1, 6))}
        asked = {
            "top_k": chosen.choice((1, 4, 20)),
            "filter": chosen.choice((None, Compare("lt", "page", RECORDS // 3))),
        }
        query = " ".join(sorted(words))
        found = await ranking(worded, query, **asked)
        with monkeypatch.context() as patched:
            patched.setattr(full_text, "MOST_READ", 0)  # the engine sums up every word of every record
            wanted = await ranking(worded, query, **asked)
        assert [score for score, _ in found] == pytest.approx([score for score, _ in wanted], rel=1e-6)
        edge = found[-1][0] * (1 + 1e-6) if found else 0.0
        assert {id for score, id in found if score > edge} == {id for score, id in wanted if score > edge}
    assert len(spared) > 10


async def test_the_rarest_words_alone_are_read_when_they_decide(worded, monkeypatch):
    read: list[str] = []
    rows = full_text._Within.rows
    monkeypatch.setattr(full_text._Within, "rows", lambda self, db, asked: read.append(asked) or rows(self, db, asked))
    monkeypatch.setattr(full_text, "_summed", lambda *_: pytest.fail("every record of every word was scored"))
    assert len(await worded.full_text(SPACE, P, "w20 w280", top_k=1)) == 1
    assert read[0].endswith('zw280"')
    assert all("AND" in asked for asked in read[1:])


async def test_of_words_that_half_hold_the_records_written_first_are_ranked(store, monkeypatch):
    monkeypatch.setattr(full_text, "RANKED", 50)
    await store.create(SPACE)
    texts = ["the the the and" if i in (20, 1100) else "the word" for i in range(1200)]
    await store.upsert(SPACE, P, [record(i, text=text, page=i) for i, text in enumerate(texts)])
    hits = await store.full_text(SPACE, P, "the", top_k=5)
    assert hits[0].id == id_of(20)
    assert {hit.metadata["page"] for hit in hits} < set(range(50))
    assert len(await store.full_text(SPACE, P, "the", top_k=100)) == 100
    late = await store.full_text(SPACE, P, "the", top_k=2, filter=Compare("ge", "page", 1090))
    assert late[0].id == id_of(1100)
    assert {hit.id for hit in await store.full_text(SPACE, P, "the and", top_k=2)} == {id_of(20), id_of(1100)}


async def test_records_that_are_gone_do_not_make_words_rarer(store):
    await store.create(SPACE)
    texts = ["common rare" if i % 100 == 0 else "common word" for i in range(1200)]
    scores = []
    for turn in range(3):  # as when documents are indexed again
        await store.upsert(SPACE, P, [record(f"{turn} {i}", text=text, turn=turn) for i, text in enumerate(texts)])
        await store.delete(SPACE, P, filter=Compare("ne", "turn", turn))
        scores.append([score for query in ("rare", "word", "common") for score, _ in await ranking(store, query)])
    assert scores[1:] == [pytest.approx(scores[0], rel=1e-6)] * 2


async def test_a_long_question_to_a_large_partition_is_decided_among_what_its_rarer_words_choose(worded, monkeypatch):
    monkeypatch.setattr(full_text, "MOST_READ", 0)
    drawn = random.Random(7)
    same = asked = 0
    for _ in range(40):
        query = " ".join(f"w{int(300 * drawn.random() ** 2)}" for _ in range(10))
        exact = {id: score for score, id in await ranking(worded, query, top_k=RECORDS)}
        best = set(list(exact)[:10])
        with monkeypatch.context() as patched:
            patched.setattr(full_text, "MOST_SUMMED", 400)
            patched.setattr(full_text, "CHOSEN", 100)
            found = await ranking(worded, query, top_k=10)
            assert len(await ranking(worded, query, top_k=RECORDS)) == len(exact)  # nothing is missing at the end
        assert [score for score, _ in found] == pytest.approx([exact[id] for _, id in found], rel=1e-6)
        same, asked = same + len(best & {id for _, id in found}), asked + len(best)
    assert 0.9 * asked < same < asked  # as it says: the rarer words may miss one


async def test_counts_of_words_follow_what_is_written(store):
    await store.create(SPACE)
    for turn in range(3):
        await store.upsert(SPACE, P, [record(f"{turn} {i}", text="wing") for i in range(10)])
        await store.upsert(SPACE, P, [record(f"{turn}", text="tail")])
        wings = await ranking(store, "wing", top_k=50)
        assert len(wings) == 10 * (turn + 1)
        assert wings[0][0] < (await ranking(store, "tail"))[0][0]
        scores = {score for score, _ in wings}
        await store.delete(SPACE, P, ids=[id_of(f"{turn} 0")])
        assert {score for score, _ in await ranking(store, "wing", top_k=50)} != scores
        await store.upsert(SPACE, P, [record(f"{turn} 0", text="wing")])


async def test_a_hybrid_search_beside_deletions_finds_what_is_left(store):
    await store.create(SPACE)
    await store.upsert(SPACE, P, [record(i, text=f"wing number {i}") for i in range(300)])

    async def delete() -> None:
        for i in range(0, 300, 3):
            await store.delete(SPACE, P, ids=[id_of(i + 1), id_of(i + 2)])

    deleting = asyncio.create_task(delete())
    while not deleting.done():
        await store.hybrid(SPACE, P, record(1).vector, "wing", top_k=100)
    left = await store.hybrid(SPACE, P, record(1).vector, "wing", top_k=300)
    assert {hit.id for hit in left} == {id_of(i) for i in range(0, 300, 3)}
