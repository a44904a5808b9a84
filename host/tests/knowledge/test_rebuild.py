"""Another model or technique: the old index answers until the new one is whole, and nothing is left of it then."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from dify_host.knowledge.datasets import DatasetChanges
from dify_host.knowledge.documents import DocumentText
from dify_host.knowledge.records import Dataset
from dify_host.knowledge.retrieval import Asker
from dify_host.knowledge.segments import SegmentChanges
from dify_kernel.contracts.model import Embeddings
from dify_kernel.errors import InvokeAuthorizationError

from .house import MODEL, House

TEXTS = {"a": "Tea is green\nCoffee is black", "b": "Milk is white\nWater is clear", "c": "Wine is red\nBeer is brown"}
HIGH = DatasetChanges(indexing_technique="high_quality", embedding_model=MODEL, embedding_model_provider="fake")


async def filled(house: House, technique: str = "high_quality") -> tuple[str, dict[str, str]]:
    """A dataset of three documents; its id, and theirs by name."""
    dataset = await house.dataset(technique=technique)
    return dataset.id, {name: await house.add(dataset.id, text, name) for name, text in TEXTS.items()}


async def row(house: House, dataset_id: str) -> Dataset:
    """The dataset as it stands."""
    async with house.db.read() as conn:
        return await house.rows.dataset(conn, dataset_id)


async def found(house: House, dataset_id: str, query: str) -> str | None:
    """The best piece for a question."""
    pieces = await house.retriever.retrieve(dataset_id, query, Asker(user_id=house.user))
    return pieces[0].segment.content if pieces else None


async def held(house: House, place: Dataset) -> int:
    """How many vectors an index holds for the dataset."""
    assert place.index is not None
    assert place.index.space is not None
    store = await house.stores.open(place.index.store)
    return await store.count(place.index.space, place.id)


async def whole(house: House, dataset_id: str) -> None:
    """One index, which holds each segment once, and no task left."""
    now = await row(house, dataset_id)
    assert now.serving is None
    assert await house.left() == []
    segments = []
    for document in (await house.documents.find(dataset_id, limit=100)).data:
        segments += (await house.segments.find(dataset_id, document.id, limit=100)).data
    assert all(segment.status == "completed" for segment in segments)
    if now.indexing_technique == "high_quality":
        records = await house.vectors(dataset_id)
        assert sorted((record.id, record.text) for record in records) == sorted(
            (str(segment.index_node_id), segment.content) for segment in segments
        )


@pytest.mark.parametrize(("before", "after"), [("high", "other"), ("economy", "high"), ("high", "economy")])
async def test_the_old_index_answers_until_the_new_one_is_whole(any_house: House, before: str, after: str) -> None:
    any_house.turn_seconds = 0
    dataset_id, ids = await filled(any_house, "economy" if before == "economy" else "high_quality")
    house = any_house
    old = await row(house, dataset_id)
    changes = {
        "other": DatasetChanges(embedding_model="other", embedding_model_provider="fake"),
        "high": HIGH,
        "economy": DatasetChanges(indexing_technique="economy"),
    }[after]
    shown = await house.datasets.update(dataset_id, changes, house.user)
    assert shown.indexing_technique == ("economy" if after == "economy" else "high_quality")
    assert shown.index_rebuild == {"documents_left": 3, "error": None}
    while await house.turn():
        # At every moment every document is found, whichever index is asked.
        assert await found(house, dataset_id, "green tea") == "Tea is green"
        assert await found(house, dataset_id, "brown beer") == "Beer is brown"
        for document_id in ids.values():
            assert (await house.documents.get(dataset_id, document_id)).display_status == "available"
    await whole(house, dataset_id)
    assert (await house.datasets.get(dataset_id)).index_rebuild is None
    if before == "high":
        assert await held(house, old) == 0


async def test_what_changes_meanwhile_is_in_both(house: House) -> None:
    dataset_id, ids = await filled(house)
    house.turn_seconds = 0
    await house.datasets.update(dataset_id, DatasetChanges(embedding_model="other"), house.user)
    (first,) = (await house.segments.find(dataset_id, ids["a"], limit=1)).data
    changes = SegmentChanges(content="Tea is yellow")
    await house.segments.update(dataset_id, ids["a"], first.id, changes, house.user)
    assert await found(house, dataset_id, "yellow tea") == "Tea is yellow"
    text = DocumentText(name="b", text="Juice is orange\nMilk is white")
    await house.documents.update_by_text(dataset_id, ids["b"], text, house.user)
    await house.documents.delete(dataset_id, ids["c"])
    new = await house.queue(dataset_id, "Soup is hot")
    await house.work()
    await whole(house, dataset_id)
    assert (await house.documents.get(dataset_id, new)).display_status == "available"
    assert await found(house, dataset_id, "orange juice") == "Juice is orange"
    assert await found(house, dataset_id, "yellow tea") == "Tea is yellow"
    assert len(await house.vectors(dataset_id)) == 5


async def test_a_model_that_does_not_work_leaves_the_old_index_and_may_be_tried_again(house: House) -> None:
    dataset_id, _ = await filled(house)
    embed = house.models.embed
    broken = [True]

    async def half(provider: str, model: str, texts: Sequence[str], **options: Any) -> Embeddings:
        if model == "other" and broken and any("white" in text for text in texts):
            raise InvokeAuthorizationError("The key is wrong.")
        return await embed(provider, model, texts, **options)

    house.models.embed = half  # type: ignore[method-assign]
    await house.datasets.update(dataset_id, DatasetChanges(embedding_model="other"), house.user)
    await house.work()
    state = (await house.datasets.get(dataset_id)).index_rebuild
    assert state == {"documents_left": 1, "error": "The key is wrong."}
    assert await found(house, dataset_id, "white milk") == "Milk is white"
    broken.clear()
    await house.datasets.update(dataset_id, DatasetChanges(embedding_model="other"), house.user)
    await house.work()
    await whole(house, dataset_id)
    assert await found(house, dataset_id, "white milk") == "Milk is white"


async def test_going_back_ends_it_and_leaves_nothing_of_the_new_one(house: House) -> None:
    dataset_id, _ = await filled(house)
    house.turn_seconds = 0
    old = await row(house, dataset_id)
    await house.datasets.update(dataset_id, DatasetChanges(embedding_model="other"), house.user)
    await house.turn()
    begun = await row(house, dataset_id)
    assert await held(house, begun) > 0
    await house.datasets.update(dataset_id, DatasetChanges(embedding_model=MODEL), house.user)
    await house.work()
    await whole(house, dataset_id)
    assert (await row(house, dataset_id)).place == old.place
    assert await held(house, begun) == 0


async def test_a_third_model_takes_the_place_of_the_second(house: House) -> None:
    dataset_id, _ = await filled(house)
    house.turn_seconds = 0
    old = await row(house, dataset_id)
    await house.datasets.update(dataset_id, DatasetChanges(embedding_model="second"), house.user)
    await house.turn()
    second = await row(house, dataset_id)
    await house.datasets.update(dataset_id, DatasetChanges(embedding_model="third"), house.user)
    assert await found(house, dataset_id, "green tea") == "Tea is green"
    await house.work()
    await whole(house, dataset_id)
    assert [await held(house, place) for place in (old, second)] == [0, 0]


async def test_a_dataset_that_is_deleted_meanwhile_leaves_nothing(house: House) -> None:
    dataset_id, _ = await filled(house)
    house.turn_seconds = 0
    old = await row(house, dataset_id)
    await house.datasets.update(dataset_id, DatasetChanges(embedding_model="other"), house.user)
    await house.turn()
    new = await row(house, dataset_id)
    await house.datasets.delete(dataset_id)
    await house.work()
    assert [await held(house, place) for place in (old, new)] == [0, 0]
    assert await house.left() == []
