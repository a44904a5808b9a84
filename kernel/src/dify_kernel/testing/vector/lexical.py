"""Full text and hybrid search, for the stores that declare them."""

from __future__ import annotations

import pytest

from dify_kernel.contracts.vector import Compare, VectorStore
from dify_kernel.contracts.vector_rules import cosine, fuse
from dify_kernel.errors import InvalidQuery
from dify_kernel.testing.honesty import ContractSuite
from dify_kernel.testing.vector.data import NASTY, SPACE, P, Q, X, at_angle, id_of, record, score_is, seed

__all__ = ["Lexical"]

TEXTS = {
    "cat": "The cat sleeps on the warm stove all day.",
    "dog": "A dog chases the cat around the garden.",
    "fish": "Fish swim in the river behind the house.",
    "zh": "知识库支持全文检索与向量检索。",
    "zh2": "工作流可以调用大语言模型。",
    "ja": "データベースの全文検索エンジン",
    "ko": "한국어 문서를 검색합니다",
    "ru": "Быстрая лиса прыгает через собаку",
    "mixed": "Python3 环境配置 guide for GPT-4",
    "empty": "",
}

OPERATORS = (
    "cat NOT dog", "dog -cat", '"cat dog"', "NEAR(cat dog)", "kind:cat", "cat AND zebra", "+cat", "cat~", "^cat",
    "(cat", '"cat', "cat)", "NOT cat", "cat*", "{kind} : cat", "cat OR", "cat'", "cat:*", "cat & !dog", "cat <-> zebra",
    "cat\\",
)  # fmt: skip
"""Queries for a cat in the language of one engine or another: to us they are words."""


def _needs(store: VectorStore, capability: str) -> None:
    if not getattr(store.capabilities, capability):
        pytest.skip(f"the store does not declare {capability}")


async def _texts(store: VectorStore) -> None:
    await seed(store, *[record(name, text=text, kind=len(name)) for name, text in TEXTS.items()])


async def _find(store: VectorStore, query: str, **options: object) -> list[str]:
    hits = await store.full_text(SPACE, P, query, **{"top_k": 20, **options})  # type: ignore[arg-type]
    names = {id_of(name): name for name in TEXTS}
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True), "not best first"
    assert all(hit.text == TEXTS[names[hit.id]] for hit in hits)
    return [names[hit.id] for hit in hits]


class Lexical(ContractSuite, suite=True):
    """Words are found in any script, ranked, within their partition; the fusion is the same everywhere."""

    async def test_full_text_finds_words(self, store: VectorStore) -> None:
        _needs(store, "full_text")
        await _texts(store)
        for query, names in {
            "cat": {"cat", "dog"},
            "CAT": {"cat", "dog"},
            "garden river": {"dog", "fish"},
            "stove": {"cat"},
            "giraffe": set(),
            "what about the giraffes stove?": {"cat", "dog", "fish"},
            "лиса": {"ru"},
            "ЛИСА": {"ru"},
            "python3": {"mixed"},
            "gpt": {"mixed"},
        }.items():
            assert set(await _find(store, query)) == names, query

    async def test_full_text_finds_unspaced_scripts(self, store: VectorStore) -> None:
        """Troubleshooting: two characters in sequence are a word; index bigrams or single characters as a phrase."""
        _needs(store, "full_text")
        await _texts(store)
        assert "zh" in await _find(store, "知识库")
        assert (await _find(store, "请问知识库怎么做全文检索？"))[0] == "zh"
        assert await _find(store, "语言") == ["zh2"]
        assert "ja" in await _find(store, "データベース")
        assert await _find(store, "한국") == ["ko"]
        assert await _find(store, "环境") == ["mixed"]
        assert await _find(store, "天气") == []

    async def test_full_text_ranks_more_and_rarer_words_first(self, store: VectorStore) -> None:
        _needs(store, "full_text")
        common = [record(f"common {i}", text=f"apple filler number {i}") for i in range(6)]
        await seed(
            store,
            *common,
            record("both", text="apple and quince here"),
            record("rare", text="only quince here now"),
            record("neither", text="nothing of the sort"),
        )
        hits = await store.full_text(SPACE, P, "apple quince", top_k=20)
        assert [hit.id for hit in hits[:2]] == [id_of("both"), id_of("rare")]
        assert {hit.id for hit in hits[2:]} == {item.id for item in common}
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)

    async def test_full_text_cuts_after_filter_and_partition(self, store: VectorStore) -> None:
        _needs(store, "full_text")
        await seed(store, *[record(i, text="pear pear pear", kind="no") for i in range(10)])
        await store.upsert(SPACE, P, [record("wanted", text="one pear among many other words", kind="yes")])
        await store.upsert(SPACE, Q, [record("elsewhere", text="pear pear plum", kind="yes")])
        yes = Compare("eq", "kind", "yes")
        assert [hit.id for hit in await store.full_text(SPACE, P, "pear", top_k=1, filter=yes)] == [id_of("wanted")]
        starts = Compare("starts_with", "kind", "y")
        assert [hit.id for hit in await store.full_text(SPACE, P, "pear", top_k=1, filter=starts)] == [id_of("wanted")]
        assert len(await store.full_text(SPACE, P, "pear", top_k=3)) == 3
        assert len(await store.full_text(SPACE, P, "pear", top_k=50)) == 11
        assert await store.full_text(SPACE, P, "plum") == []
        assert [hit.id for hit in await store.full_text(SPACE, Q, "plum")] == [id_of("elsewhere")]

    async def test_any_text_is_a_query(self, store: VectorStore) -> None:
        """Troubleshooting: quote or strip what the engine's query language would read as an operator."""
        _needs(store, "full_text")
        await _texts(store)
        for query in (
            *NASTY,
            "",
            " ",
            "\x00",
            '"',
            '""',
            "(",
            "cat AND",
            "NOT cat",
            "cat*",
            "text:cat",
            "^cat",
            "a" * 5000,
        ):
            assert isinstance(await store.full_text(SPACE, P, query), list), query
        for nothing in ("", " ", "?!", "***", '"', "- + ~", "。，"):
            assert await _find(store, nothing) == [], nothing
        for same in (
            "cat NOT dog",
            "dog -cat",
            '"cat dog"',
            "NEAR(cat dog)",
            "kind:cat",
            "cat AND zebra",
            "+cat",
            "cat~",
        ):
            assert {"cat", "dog"} <= set(await _find(store, same)), same
        assert await _find(store, "ca*") == []
        assert await _find(store, "c?t") == []

    async def test_full_text_follows_changes(self, store: VectorStore) -> None:
        _needs(store, "full_text")
        await seed(store, record(1, text="cherry"), record(2, text="cherry"), record(3, text="cherry", old=1))
        await store.upsert(SPACE, P, [record(1, text="mango")])
        await store.delete(SPACE, P, ids=[id_of(2)])
        assert [hit.id for hit in await store.full_text(SPACE, P, "cherry")] == [id_of(3)]
        assert [hit.id for hit in await store.full_text(SPACE, P, "mango")] == [id_of(1)]
        await store.delete(SPACE, P, filter=Compare("eq", "old", 1))
        assert await store.full_text(SPACE, P, "cherry") == []
        await store.delete(SPACE, P)
        await store.upsert(SPACE, P, [record(4, text="cherry")])
        assert [hit.id for hit in await store.full_text(SPACE, P, "cherry mango")] == [id_of(4)]

    async def test_full_text_finds_what_a_text_holds(self, store: VectorStore) -> None:
        _needs(store, "full_text")
        await seed(store, *[record(text, text=f"{text} marker{i}") for i, text in enumerate(NASTY)])
        for i, text in enumerate(NASTY):
            (hit,) = await store.full_text(SPACE, P, f"marker{i}")
            assert (hit.id, hit.text) == (id_of(text), f"{text} marker{i}")
        long = {length: "0123456789abcdef" * 16 + "x" * length for length in (1, 2, 1000)}
        await seed(store, *[record(word, text=f"{word} is long") for word in long.values()])
        for word in long.values():
            (hit,) = await store.full_text(SPACE, P, f"what is0 {word}")
            assert hit.id == id_of(word), "a long word is found as a whole: write what `text_terms` gives"

    async def test_bad_full_text_queries_are_refused(self, store: VectorStore) -> None:
        _needs(store, "full_text")
        await _texts(store)
        with pytest.raises(InvalidQuery):
            await store.full_text(SPACE, P, "cat", top_k=0)
        with pytest.raises(InvalidQuery):
            await store.full_text(SPACE, P, "cat", filter=Compare("like", "kind", "x"))

    # -- hybrid ------------------------------------------------------------------------------------------------

    async def test_hybrid_fuses_both_lists_by_reciprocal_rank(self, store: VectorStore) -> None:
        """Troubleshooting: 1 / (60 + rank) of each list, summed; the score is still the cosine."""
        _needs(store, "hybrid")
        texts = ("fig", "none", "fig grape", "none", "fig fig grape kiwi", "none", "grape kiwi kiwi lime", "none")
        written = {id_of(i): record(i, text=text, vector=at_angle(12 * i)) for i, text in enumerate(texts)}
        await seed(store, *written.values())
        vector, query = at_angle(1), "grape kiwi"
        by_vector = [hit.id for hit in await store.search(SPACE, P, vector, top_k=20)]
        by_text = [hit.id for hit in await store.full_text(SPACE, P, query, top_k=20)]
        assert len(by_text) == 3
        hits = await store.hybrid(SPACE, P, vector, query, top_k=20)
        assert [hit.id for hit in hits] == fuse(by_vector, by_text)
        for hit in hits:
            assert hit.score == score_is(cosine(vector, written[hit.id].vector))
            assert hit.text == written[hit.id].text
        first = await store.hybrid(SPACE, P, vector, query, top_k=2)
        assert len(first) == 2
        assert len(await store.hybrid(SPACE, P, vector, query)) == 4

    async def test_hybrid_finds_what_only_one_list_has(self, store: VectorStore) -> None:
        _needs(store, "hybrid")
        near = [record(i, text="nothing", vector=at_angle(i)) for i in range(5)]
        await seed(store, *near, record("word", text="the zeppelin", vector=at_angle(170), page=1))
        hits = await store.hybrid(SPACE, P, X, "zeppelin", top_k=2)
        assert id_of("word") in {hit.id for hit in hits}
        assert id_of(0) in {hit.id for hit in hits}
        assert [hit.id for hit in await store.hybrid(SPACE, P, X, "no such words", top_k=3)] == [
            id_of(i) for i in range(3)
        ]
        assert len(await store.hybrid(SPACE, P, X, "")) == 4

    async def test_hybrid_obeys_filter_and_partition(self, store: VectorStore) -> None:
        _needs(store, "hybrid")
        await seed(store, *[record(i, text="olive", vector=at_angle(i), page=i) for i in range(12)])
        await store.upsert(SPACE, Q, [record("other", text="olive", vector=X, page=11)])
        hits = await store.hybrid(SPACE, P, X, "olive", top_k=2, filter=Compare("ge", "page", 11))
        assert [hit.id for hit in hits] == [id_of(11)]
        assert {hit.id for hit in await store.hybrid(SPACE, Q, X, "olive", top_k=9)} == {id_of("other")}

    async def test_bad_hybrid_queries_are_refused(self, store: VectorStore) -> None:
        _needs(store, "hybrid")
        await _texts(store)
        with pytest.raises(InvalidQuery):
            await store.hybrid(SPACE, P, X, "cat", top_k=0)
        with pytest.raises(InvalidQuery):
            await store.hybrid(SPACE, P, [1.0], "cat")
