"""Ranking by words when much is left out: what cannot win, and records of words that nearly all hold."""

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
