"""Knowledge for apps: several knowledge bases at once, in the shape of the workflow node."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
import sqlalchemy as sa
from dify_host.db.types import new_id
from dify_host.knowledge.datasets import DatasetChanges
from dify_host.knowledge.retrieval import Asker
from dify_host.knowledge.tables import dataset_metadatas, dataset_queries, documents
from dify_kernel.contracts.ports import KnowledgePort, Retrieval
from dify_kernel.errors import BadInput

from .house import House


async def ask(house: House, ids: list[str], query: str = "tea", **options: Any) -> list[dict[str, Any]]:
    asker = Asker(user_id=house.user, role="end_user", source="app", app_id=new_id())
    port: KnowledgePort = house.runtime(asker)
    return await port.retrieve(Retrieval(query=query, dataset_ids=ids, **options))


async def two(house: House, technique: str = "high_quality") -> tuple[str, str]:
    first, second = await house.dataset("Drinks", technique), await house.dataset("Prices", technique)
    await house.add(first.id, "Tea is green\nCoffee is black", "drinks")
    await house.add(second.id, "Tea costs two euros\nA bus ticket costs three euros", "prices")
    return first.id, second.id


async def test_one_question_to_two_datasets(house: House) -> None:
    first, second = await two(house)
    found = await ask(house, [first, second], "tea costs", top_k=3)
    assert found[0]["content"] == "Tea costs two euros"
    assert len(found) == 3
    scores = [item["metadata"]["score"] for item in found]
    assert scores == sorted(scores, reverse=True)
    assert [item["metadata"]["position"] for item in found] == [1, 2, 3]
    best = found[0]
    assert best["title"] == "prices"
    assert best["files"] == []
    metadata = best["metadata"]
    assert (metadata["_source"], metadata["dataset_id"], metadata["dataset_name"]) == ("knowledge", second, "Prices")
    assert (metadata["document_name"], metadata["data_source_type"]) == ("prices", "upload_file")
    assert (metadata["segment_word_count"], metadata["segment_position"]) == (19, 1)
    assert metadata["retriever_from"] == "workflow"
    assert json.dumps(found)


async def test_a_question_of_an_app_is_recorded_for_each_dataset(house: House) -> None:
    first, second = await two(house)
    await ask(house, [first, second])
    await house.recorded()
    async with house.db.read() as conn:
        rows = (await conn.execute(sa.select(dataset_queries))).all()
    assert {row.dataset_id for row in rows} == {first, second}
    assert {(row.source, row.created_by_role, row.created_by) for row in rows} == {("app", "end_user", house.user)}
    assert all(row.source_app_id for row in rows)


async def test_another_tenants_dataset_gives_nothing_and_is_reported(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = House(house.db, house.stores)
    theirs, _ = await two(stranger)
    mine, _ = await two(house)
    with caplog.at_level(logging.WARNING):
        found = await ask(house, [theirs, mine])
    assert {item["metadata"]["dataset_id"] for item in found} == {mine}
    assert theirs in caplog.text
    assert mine not in caplog.text
    assert await ask(house, [theirs]) == []


async def test_nothing_asked_or_nothing_to_find(house: House) -> None:
    first, second = await two(house)
    empty = await house.dataset("Empty")
    assert await ask(house, []) == []
    assert await ask(house, [first], "  ") == []
    assert await ask(house, [empty.id]) == []
    both = await ask(house, [empty.id, first])
    assert {item["metadata"]["dataset_id"] for item in both} == {first}
    assert second


async def test_a_rerank_model_ranks_what_all_gave(house: House) -> None:
    first, second = await two(house)
    economy = await house.dataset("Notes", "economy")
    await house.add(economy.id, "Tea ceremony at five")
    with pytest.raises(BadInput, match="different techniques"):
        await ask(house, [first, economy.id])
    found = await ask(
        house,
        [first, second, economy.id],
        "tea ceremony",
        top_k=2,
        reranking_enable=True,
        reranking_model={"provider": "fake", "model": "r"},
    )
    assert found[0]["content"] == "Tea ceremony at five"
    assert len(found) == 2
    strict = await ask(
        house,
        [first, economy.id],
        "tea ceremony",
        score_threshold=0.9,
        reranking_enable=True,
        reranking_model={"provider": "fake", "model": "r"},
    )
    assert [item["content"] for item in strict] == ["Tea ceremony at five"]


async def test_weights_rank_what_all_gave(house: House) -> None:
    first, second = await two(house)
    weights = {"vector_setting": {"vector_weight": 0.0}, "keyword_setting": {"keyword_weight": 1.0}}
    options: dict[str, Any] = {"reranking_enable": True, "reranking_mode": "weighted_score", "weights": weights}
    found = await ask(house, [first, second], "bus ticket", top_k=1, **options)
    assert [item["content"] for item in found] == ["A bus ticket costs three euros"]
    await house.datasets.update(second, DatasetChanges(embedding_model="other"), house.user)
    await house.work()
    with pytest.raises(BadInput, match="different embedding models"):
        await ask(house, [first, second], **options)


async def test_full_text_ranks_are_made_comparable(house: House) -> None:
    first, second = await two(house)
    settings = {"search_method": "full_text_search", "reranking_enable": False, "top_k": 2}
    await house.datasets.update(first, DatasetChanges(retrieval_model=settings), house.user)
    found = await ask(house, [first, second], "tea", top_k=4)
    scores = [item["metadata"]["score"] for item in found]
    assert scores == sorted(scores, reverse=True)
    assert all(-1 <= score <= 1 for score in scores)


async def test_one_dataset_gives_no_more_than_the_app_asks_for(house: House) -> None:
    _, second = await two(house)
    best, other = [item["metadata"]["score"] for item in await ask(house, [second], "tea bus ticket", top_k=4)]
    for options in ({"top_k": 1}, {"top_k": 4, "score_threshold": (best + other) / 2}):
        found = await ask(house, [second], "tea bus ticket", **options)
        assert [item["metadata"]["score"] for item in found] == [best]


async def test_economy_datasets_take_the_apps_top_k(house: House) -> None:
    first, second = await two(house, "economy")
    assert len(await ask(house, [first, second], "tea", top_k=1)) == 1
    assert len(await ask(house, [first, second], "tea", top_k=5)) == 2
    assert len(await ask(house, [second], "tea bus", top_k=1)) == 1


async def test_a_model_chooses_the_dataset(house: House) -> None:
    first, second = await two(house)
    house.models.reply = lambda message: f'I choose {{"id": "{second}"}}.'
    model = {"provider": "fake", "name": "chat", "mode": "chat"}
    found = await ask(house, [first, second], mode="single", single_model=model)
    assert {item["metadata"]["dataset_id"] for item in found} == {second}
    house.models.reply = lambda message: '{"id": null}'
    assert await ask(house, [first, second], mode="single", single_model=model) == []
    house.models.reply = lambda message: f'{{"id": "{new_id()}"}}'
    assert await ask(house, [first, second], mode="single", single_model=model) == []
    with pytest.raises(BadInput, match="No model"):
        await ask(house, [first, second], mode="single")


async def test_metadata_filters_by_hand_and_by_model(house: House) -> None:
    dataset = await house.dataset()
    ids = {name: await house.add(dataset.id, f"Tea of {name}", name) for name in ("old", "new")}
    async with house.db.write() as conn:
        for name, year in (("old", 1990), ("new", 2024)):
            await conn.execute(
                documents.update().where(documents.c.id == ids[name]).values(doc_metadata={"year": year})
            )
        field = {"tenant_id": house.tenant.id, "dataset_id": dataset.id, "type": "number", "name": "year"}
        await conn.execute(dataset_metadatas.insert().values(**field, created_by=house.user))
    manual = {"conditions": [{"name": "year", "comparison_operator": ">", "value": "2000"}]}
    found = await ask(house, [dataset.id], metadata_filtering_mode="manual", metadata_filtering_conditions=manual)
    assert [item["title"] for item in found] == ["new"]
    assert found[0]["metadata"]["doc_metadata"] == {"year": 2024}
    condition = {"metadata_field_name": "year", "metadata_field_value": 2000, "comparison_operator": "<"}
    unknown = {"metadata_field_name": "color", "metadata_field_value": "red", "comparison_operator": "is"}
    house.models.reply = lambda message: json.dumps({"metadata_map": [condition, unknown]})
    options: dict[str, Any] = {"metadata_filtering_mode": "automatic", "metadata_model": {"provider": "f", "name": "m"}}
    assert [item["title"] for item in await ask(house, [dataset.id], **options)] == ["old"]
    house.models.reply = lambda message: "no idea"
    assert len(await ask(house, [dataset.id], **options)) == 2
    assert len(await ask(house, [dataset.id], metadata_filtering_mode="automatic")) == 2
