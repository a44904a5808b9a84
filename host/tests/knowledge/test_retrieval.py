"""Finding segments: every method, every ranking, filters, and what must never be found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy as sa
from dify_host.db.types import new_id
from dify_host.knowledge.datasets import DatasetChanges
from dify_host.knowledge.documents import DocumentText
from dify_host.knowledge.errors import DatasetNotFound, DatasetNotInitialized, FullTextNotSupported
from dify_host.knowledge.retrieval import Asker, Found
from dify_host.knowledge.segments import SegmentChanges
from dify_host.knowledge.tables import dataset_queries, documents
from dify_host.knowledge.vectors import VectorStores
from dify_kernel.contracts.vector import VectorCapabilities
from dify_kernel.errors import BadInput, InvokeAuthorizationError
from dify_kernel.testing.fake_models import word_vector
from dify_kernel.testing.memory_vector import MemoryVectorStore

from .house import House, custom_rule

FACTS = """The travel allowance is 42 euros per day.
Office hours are from nine to five.
The kitchen closes at eight in the evening.
Travel must be booked by the travel desk.
Parking costs five euros per day.
"""


async def ask(house: House, dataset_id: str, query: str, **model: Any) -> list[Found]:
    return await house.retriever.retrieve(dataset_id, query, Asker(user_id=house.user), model or None)


def texts(found: Sequence[Found]) -> list[str]:
    return [item.segment.content for item in found]


def cosine(left: str, right: str) -> float:
    return sum(a * b for a, b in zip(word_vector(left), word_vector(right), strict=True))


async def test_semantic_search_gives_the_nearest_with_exact_scores(any_house: House) -> None:
    house = any_house
    dataset = await house.dataset()
    document_id = await house.add(dataset.id, FACTS)
    query = "the travel allowance per day"
    found = await ask(house, dataset.id, query, search_method="semantic_search", top_k=3)
    wanted = sorted(FACTS.strip().split("\n"), key=lambda text: -cosine(text, query))[:3]
    assert texts(found) == wanted
    assert [item.score for item in found] == pytest.approx([cosine(text, query) for text in wanted], abs=1e-4)
    assert {item.document.id for item in found} == {document_id}
    assert all(item.child_chunks is None for item in found)


@pytest.mark.parametrize("method", ["full_text_search", "hybrid_search"])
async def test_other_methods_find_shared_words(house: House, method: str) -> None:
    dataset = await house.dataset()
    await house.add(dataset.id, FACTS)
    found = await ask(house, dataset.id, "kitchen evening", search_method=method, top_k=2)
    assert texts(found)[0] == "The kitchen closes at eight in the evening."


async def test_the_dataset_says_how_it_is_searched(house: House) -> None:
    dataset = await house.dataset()
    await house.add(dataset.id, FACTS)
    assert len(await ask(house, dataset.id, "travel")) == 4
    settings = {"search_method": "full_text_search", "top_k": 1, "reranking_enable": False, "weights": None}
    await house.datasets.update(dataset.id, DatasetChanges(retrieval_model=settings), house.user)
    assert len(await ask(house, dataset.id, "travel")) == 1


async def test_a_threshold_cuts(house: House) -> None:
    dataset = await house.dataset()
    await house.add(dataset.id, FACTS)
    options = {"top_k": 5, "score_threshold_enabled": True, "score_threshold": 0.5}
    found = await ask(house, dataset.id, "the travel allowance is 42 euros per day", **options)
    assert texts(found)[0] == "The travel allowance is 42 euros per day."
    assert all(item.score >= 0.5 for item in found)
    off = await ask(house, dataset.id, "travel allowance", **{**options, "score_threshold_enabled": False})
    assert len(off) == 5


async def test_weights_mix_vector_and_keyword_scores(house: House) -> None:
    dataset = await house.dataset()
    await house.add(dataset.id, FACTS)

    async def weighted(vector: float, keyword: float) -> list[Found]:
        weights = {"vector_setting": {"vector_weight": vector}, "keyword_setting": {"keyword_weight": keyword}}
        return await ask(
            house,
            dataset.id,
            "parking euros",
            search_method="hybrid_search",
            reranking_mode="weighted_score",
            weights=weights,
            top_k=5,
        )

    by_vector = await weighted(1, 0)
    assert [item.score for item in by_vector] == pytest.approx(
        [cosine(text, "parking euros") for text in texts(by_vector)], abs=1e-4
    )
    by_keyword = await weighted(0, 1)
    assert texts(by_keyword)[:2] == ["Parking costs five euros per day.", "The travel allowance is 42 euros per day."]
    assert by_keyword[-1].score == 0
    mixed = {item.segment.id: item.score for item in await weighted(0.5, 0.5)}
    for one in by_vector:
        other = next(item.score for item in by_keyword if item.segment.id == one.segment.id)
        assert mixed[one.segment.id] == pytest.approx((one.score + other) / 2, abs=1e-4)


async def test_a_rerank_model_has_the_last_word_and_its_failure_is_told(house: House) -> None:
    dataset = await house.dataset()
    await house.add(dataset.id, FACTS)
    options = {
        "reranking_enable": True,
        "reranking_mode": "reranking_model",
        "reranking_model": {"reranking_provider_name": "fake", "reranking_model_name": "r"},
        "top_k": 3,
    }
    found = await ask(house, dataset.id, "office hours", **options)
    assert found[0].segment.content == "Office hours are from nine to five."
    assert found[0].score == 1
    assert len(house.models.reranked) == 1
    house.models.error = InvokeAuthorizationError("no")
    with pytest.raises(InvokeAuthorizationError):
        await ask(house, dataset.id, "office hours", **options)


@pytest.mark.parametrize("method", ["semantic_search", "full_text_search", "hybrid_search"])
async def test_a_rerank_model_chooses_from_more_than_is_shown(house: House, method: str) -> None:
    dataset = await house.dataset()
    best = "Who looks for the kitchen finds it, as a rule, behind the second door of the hall, and it closes at eight."
    await house.add(dataset.id, "\n".join([*(f"Kitchen {n}." for n in range(20)), best]), process_rule=custom_rule(200))
    chosen = {"reranking_provider_name": "fake", "reranking_model_name": "r"}
    options: dict[str, Any] = {"search_method": method, "reranking_enable": True, "reranking_model": chosen}
    found = await ask(house, dataset.id, "kitchen closes hall", top_k=1, **options)
    assert texts(found) == [best]
    await house.add(dataset.id, "\n".join(f"Kitchen of the hall {n}." for n in range(60)), "more")
    await ask(house, dataset.id, "kitchen closes hall", top_k=1, **options)
    assert len(await ask(house, dataset.id, "kitchen closes hall", top_k=40, **options)) == 40
    assert [len(given) for given in house.models.reranked[1:]] == [30, 40]


class Plain(MemoryVectorStore):
    """A store without full text."""

    capabilities = VectorCapabilities(full_text=False, hybrid=False, persistent=False)


class Halves(MemoryVectorStore):
    """A store with full text and without its own hybrid search."""

    capabilities = VectorCapabilities(full_text=True, hybrid=False, persistent=False)


async def test_a_store_without_full_text_says_so_and_still_does_hybrid(house: House) -> None:
    other = House(house.db, VectorStores(lambda name: Plain(), default="plain"))
    dataset = await other.dataset()
    await other.add(dataset.id, FACTS)
    with pytest.raises(FullTextNotSupported):
        await ask(other, dataset.id, "kitchen", search_method="full_text_search")
    found = await ask(other, dataset.id, "kitchen closes", search_method="hybrid_search")
    assert found[0].segment.content == "The kitchen closes at eight in the evening."


async def test_hybrid_of_two_searches_scores_by_cosine(house: House) -> None:
    other = House(house.db, VectorStores(lambda name: Halves(), default="halves"))
    dataset = await other.dataset()
    await other.add(dataset.id, FACTS)
    found = await ask(other, dataset.id, "kitchen closes", search_method="hybrid_search", top_k=2)
    assert found[0].segment.content == "The kitchen closes at eight in the evening."
    assert [item.score for item in found] == pytest.approx(
        [cosine(item.segment.content, "kitchen closes") for item in found], abs=1e-4
    )


async def test_economy_counts_shared_words(any_house: House) -> None:
    house = any_house
    dataset = await house.dataset(technique="economy")
    await house.add(dataset.id, FACTS + "知识库可以检索文档。\n")
    assert texts(await ask(house, dataset.id, "Travel allowance?", top_k=2)) == [
        "The travel allowance is 42 euros per day.",
        "Travel must be booked by the travel desk.",
    ]
    assert texts(await ask(house, dataset.id, "检索什么文档")) == ["知识库可以检索文档。"]
    assert await ask(house, dataset.id, "the of and") == []
    assert await ask(house, dataset.id, "zebra") == []
    assert house.models.embedded == []


async def test_children_lead_to_their_parent(house: House) -> None:
    dataset = await house.dataset()
    rule = custom_rule(
        500, "\n\n", parent_mode="paragraph", subchunk_segmentation={"max_tokens": 60, "separator": ". "}
    )
    text = "The kitchen closes at eight. The kitchen opens at six\n\nParking costs five euros. Park behind the house"
    await house.add(dataset.id, text, process_rule=rule, doc_form="hierarchical_model")
    found = await ask(house, dataset.id, "kitchen closes", top_k=2)
    assert texts(found) == text.split("\n\n")
    best = found[0]
    assert best.child_chunks is not None
    assert [child.content for child in best.child_chunks] == ["The kitchen closes at eight", "The kitchen opens at six"]
    assert best.score == best.child_chunks[0].score > best.child_chunks[1].score


@pytest.mark.parametrize("technique", ["high_quality", "economy"])
async def test_what_is_switched_off_is_not_found_and_does_not_take_a_place(house: House, technique: str) -> None:
    dataset = await house.dataset(technique=technique)
    first = await house.add(dataset.id, "\n".join(f"Tea fact {n}" for n in range(8)), "first")
    second = await house.add(dataset.id, "Tea is green\nTea is black\nTea is old", "second")
    await house.documents.set_status(dataset.id, "disable", [first], house.user)
    assert {item.document.name for item in await ask(house, dataset.id, "tea fact", top_k=3)} == {"second"}
    segment = (await house.segments.find(dataset.id, second)).data[0]
    await house.segments.update(dataset.id, second, segment.id, SegmentChanges(enabled=False), house.user)
    assert sorted(texts(await ask(house, dataset.id, "tea fact", top_k=3))) == ["Tea is black", "Tea is old"]
    await house.documents.set_status(dataset.id, "archive", [second], house.user)
    assert await ask(house, dataset.id, "tea fact") == []
    await house.documents.set_status(dataset.id, "enable", [first], house.user)
    assert len(await ask(house, dataset.id, "tea fact", top_k=3)) == 3


async def test_switched_off_segments_do_not_hide_the_next_best(house: House) -> None:
    dataset = await house.dataset()
    document_id = await house.add(dataset.id, "\n".join(["tea " * 3 + str(n) for n in range(10)] + ["tea and coffee"]))
    for segment in (await house.segments.find(dataset.id, document_id)).data[:10]:
        await house.segments.update(dataset.id, document_id, segment.id, SegmentChanges(enabled=False), house.user)
    assert texts(await ask(house, dataset.id, "tea", top_k=1)) == ["tea and coffee"]


async def test_what_is_deleted_is_not_found(house: House) -> None:
    dataset = await house.dataset()
    first = await house.add(dataset.id, FACTS)
    second = await house.add(dataset.id, "Travel by train.")
    segment = (await house.segments.find(dataset.id, first)).data[0]
    await house.segments.delete(dataset.id, first, segment.id)
    assert segment.content not in texts(await ask(house, dataset.id, segment.content, top_k=10))
    await house.documents.delete(dataset.id, first)
    assert texts(await ask(house, dataset.id, "travel", top_k=10)) == ["Travel by train."]
    assert [record.metadata["document_id"] for record in await house.vectors(dataset.id)] == [second]


async def test_metadata_conditions_choose_the_documents(any_house: House) -> None:
    house = any_house
    dataset = await house.dataset()
    ids = {}
    for name, values in {"a": {"year": 2020, "kind": "Guide"}, "b": {"year": 2024, "kind": "memo"}, "c": None}.items():
        ids[name] = await house.add(dataset.id, f"Tea of {name}", name)
        async with house.db.write() as conn:
            await conn.execute(documents.update().where(documents.c.id == ids[name]).values(doc_metadata=values))

    async def names(*conditions: tuple[str, str, Any], operator: str = "and") -> list[str]:
        listed = [{"name": n, "comparison_operator": op, "value": v} for n, op, v in conditions]
        filtering = {"logical_operator": operator, "conditions": listed}
        found = await ask(house, dataset.id, "tea", metadata_filtering_conditions=filtering)
        return sorted(item.document.name for item in found)

    assert await names(("year", ">", 2021)) == ["b"]
    assert await names(("kind", "is", "Guide")) == ["a"]
    assert await names(("kind", "is", "Guide"), ("year", "=", 2024), operator="or") == ["a", "b"]
    assert await names(("kind", "is", "Guide"), ("year", "=", 2024)) == []
    assert await names(("kind", "empty", None)) == ["c"]
    assert await names(("kind", "is", None)) == ["a", "b", "c"]
    with pytest.raises(BadInput, match="comparison_operator"):
        await names(("kind", "resembles", "x"))


async def test_a_question_is_recorded_and_hits_are_counted(house: House) -> None:
    dataset = await house.dataset()
    document_id = await house.add(dataset.id, FACTS)
    before = (await house.segments.find(dataset.id, document_id)).data
    found = await ask(house, dataset.id, "travel allowance", top_k=2)
    await ask(house, dataset.id, "travel allowance", top_k=1)
    await house.recorded()
    after = {item.id: item for item in (await house.segments.find(dataset.id, document_id)).data}
    assert [after[item.segment.id].hit_count for item in found] == [2, 1]
    assert (await house.documents.get(dataset.id, document_id)).hit_count == 3
    assert [after[item.id].updated_at for item in before] == [item.updated_at for item in before]
    async with house.db.read() as conn:
        rows = (await conn.execute(sa.select(dataset_queries))).all()
    assert [(row.dataset_id, row.source, row.created_by_role) for row in rows] == [
        (dataset.id, "hit_testing", "account")
    ] * 2
    assert rows[0].content == '[{"content_type":"text_query","content":"travel allowance"}]'


@pytest.mark.parametrize(
    ("query", "model"),
    [
        ("", {}),
        ("x" * 251, {}),
        ("x", {"search_method": "magic"}),
        ("x", {"top_k": 0}),
        ("x", {"top_k": "many"}),
    ],
)
async def test_bad_questions_are_refused(house: House, query: str, model: dict[str, Any]) -> None:
    dataset = await house.dataset()
    with pytest.raises(BadInput):
        await ask(house, dataset.id, query, **model)


async def test_an_empty_dataset_and_one_without_technique(house: House) -> None:
    assert await ask(house, (await house.dataset()).id, "tea") == []
    with pytest.raises(DatasetNotInitialized):
        await ask(house, (await house.dataset("Empty", technique=None)).id, "tea")


async def test_another_tenants_dataset_does_not_exist(house: House) -> None:
    stranger = House(house.db, house.stores)
    dataset = await house.dataset()
    await house.add(dataset.id, FACTS)
    with pytest.raises(DatasetNotFound):
        await ask(stranger, dataset.id, "travel")
    with pytest.raises(DatasetNotFound):
        await ask(house, new_id(), "travel")


async def test_two_tenants_of_one_model_share_a_space_and_see_only_their_own(house: House) -> None:
    stranger = House(house.db, house.stores)
    mine, theirs = await house.dataset(), await stranger.dataset()
    await house.add(mine.id, "Tea of mine.")
    await stranger.add(theirs.id, "Tea of theirs.")
    assert texts(await ask(house, mine.id, "tea")) == ["Tea of mine."]
    assert texts(await ask(stranger, theirs.id, "tea")) == ["Tea of theirs."]


async def test_an_updated_document_is_found_by_its_new_text(house: House) -> None:
    dataset = await house.dataset()
    document_id = await house.add(dataset.id, FACTS)
    await house.documents.update_by_text(
        dataset.id, document_id, DocumentText(name="n", text="Zebras have stripes."), house.user
    )
    assert await ask(house, dataset.id, "travel") == []
    await house.work()
    assert texts(await ask(house, dataset.id, "travel")) == ["Zebras have stripes."]
