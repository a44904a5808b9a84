"""A knowledge base moves to another store while it answers and changes; nothing is lost, doubled or left behind."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from dify_host.db.engine import Database
from dify_host.knowledge.datasets import DatasetChanges
from dify_host.knowledge.documents import DocumentText
from dify_host.knowledge.move import Mover
from dify_host.knowledge.move_check import same_answers
from dify_host.knowledge.retrieval import Asker
from dify_host.knowledge.segments import SegmentChanges
from dify_host.knowledge.tables import embeddings
from dify_host.knowledge.vectors import VectorStores
from dify_kernel.contracts.vector import Hit, Record, Space
from dify_kernel.errors import BadInput, Conflict, DifyError
from dify_kernel.registry import Registry

from .house import House, custom_rule
from .test_rebuild import found, held, row, whole

SCRIPT = Path(__file__).with_name("move_run.py")
pytestmark = pytest.mark.skipif(
    not {"sqlite", "qdrant"} <= set(Registry().names("vdb")), reason="needs two stores that survive the process"
)
SUBJECTS = ("tea", "coffee", "milk", "water", "wine", "beer")


def environment(folder: Path) -> dict[str, str]:
    return {"SQLITE_VEC_PATH": str(folder / "vectors.db"), "QDRANT_URL": f"path:{folder / 'qdrant'}"}


@pytest.fixture
async def house(sqlite_database: Database, tmp_path: Path) -> AsyncIterator[House]:
    """A tenant whose knowledge bases are in the one store, with the other beside it."""
    stores = VectorStores.from_registry(Registry(), environment(tmp_path), default="sqlite")
    yield House(sqlite_database, stores)
    await stores.close()


def mover(house: House) -> Mover:
    return Mover(house.db, house.tenant, house.stores)


async def filled(house: House) -> tuple[str, dict[str, str]]:
    """A dataset of six documents of three segments; its id, and theirs by name."""
    dataset = await house.dataset()
    texts = {name: "\n".join(f"{name} is {how}" for how in ("hot", "cold", f"sold {name}s")) for name in SUBJECTS}
    return dataset.id, {name: await house.add(dataset.id, text, name) for name, text in texts.items()}


async def answers(house: House, dataset_id: str) -> dict[str, list[tuple[str, float]]]:
    """What is found for several questions."""
    return {
        name: sorted(
            (hit.segment.id, round(hit.score, 4))
            for hit in await house.retriever.retrieve(dataset_id, f"{name} sold {name}s", Asker(user_id=house.user))
            if hit.score > 0.9
        )
        for name in SUBJECTS
    }


async def test_it_answers_and_changes_while_it_moves_and_nothing_is_embedded_again(house: House) -> None:
    dataset_id, ids = await filled(house)
    old, before = await row(house, dataset_id), await answers(house, dataset_id)
    house.turn_seconds = 0
    embedded: list[str] = []
    embed = house.models.embed

    async def counted(provider: str, model: str, texts: Sequence[str], **options: Any) -> Any:
        embedded.extend(texts if options.get("input_type") != "query" else ())
        return await embed(provider, model, texts, **options)

    house.models.embed = counted  # type: ignore[method-assign]
    async with house.db.write() as conn:
        await conn.execute(embeddings.delete())  # so that nothing can come from the cache
    plan = await mover(house).plan(dataset_id, "qdrant")
    assert (plan.source, plan.target, plan.records) == ("sqlite", "qdrant", 18)
    assert (await mover(house).state(dataset_id)).done
    await mover(house).begin(dataset_id, "qdrant", house.user)
    state = await mover(house).state(dataset_id)
    assert (state.store, state.moving, state.documents_left) == ("sqlite", True, 6)
    assert await answers(house, dataset_id) == before
    assert await house.turn()
    (first,) = (await house.segments.find(dataset_id, ids["tea"], limit=1)).data
    await house.segments.update(dataset_id, ids["tea"], first.id, SegmentChanges(content="tea is green"), house.user)
    text = DocumentText(name="milk", text="juice is orange\nmilk is cold")
    await house.documents.update_by_text(dataset_id, ids["milk"], text, house.user)
    await house.documents.delete(dataset_id, ids["beer"])
    await house.queue(dataset_id, "soup is salty")
    while await house.turn():
        assert await found(house, dataset_id, "green tea") == "tea is green"
        assert await found(house, dataset_id, "wine sold wines") == "wine is sold wines"
    await whole(house, dataset_id)
    now = await row(house, dataset_id)
    assert now.index is not None
    assert now.index.store == "qdrant"
    assert await held(house, old) == 0
    # What an updated document keeps is written anew, and only its vector was in the cache.
    assert sorted(embedded) == ["juice is orange", "milk is cold", "soup is salty", "tea is green"]
    assert await found(house, dataset_id, "salty soup") == "soup is salty"
    after = await answers(house, dataset_id)
    same = ("coffee", "water", "wine")
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    # Another model's index is made in the store that it was moved to, and it can go back.
    await house.datasets.update(dataset_id, DatasetChanges(embedding_model="other"), house.user)
    with pytest.raises(Conflict, match="another model"):
        await mover(house).begin(dataset_id, "sqlite", house.user)
    await house.work()
    assert (await mover(house).state(dataset_id)).store == "qdrant"
    await mover(house).begin(dataset_id, "sqlite", house.user)
    await house.work()
    await whole(house, dataset_id)
    assert (await mover(house).state(dataset_id)).store == "sqlite"


async def test_children_move_and_may_change_meanwhile(house: House) -> None:
    dataset = await house.dataset()
    inner = {"separator": "\n", "max_tokens": 50}
    rule = custom_rule(200, "\n\n", parent_mode="paragraph", subchunk_segmentation=inner)
    text = "tea is green\ncoffee is black\n\nmilk is white\nwater is clear"
    document_id = await house.add(dataset.id, text, doc_form="hierarchical_model", process_rule=rule)
    house.turn_seconds = 0
    await mover(house).begin(dataset.id, "qdrant", house.user)
    (first, _) = (await house.segments.find(dataset.id, document_id, limit=9)).data
    await house.segments.create_child(dataset.id, document_id, first.id, "cocoa is brown", house.user)
    await house.work()
    records = await house.vectors(dataset.id)
    assert {record.text for record in records} == {*text.split("\n"), "cocoa is brown"} - {""}
    assert len(records) == 5
    assert (await mover(house).state(dataset.id)).store == "qdrant"


@pytest.mark.parametrize(("call", "calls"), [("qdrant.upsert", 0), ("qdrant.upsert", 3), ("sqlite.delete", 0)])
async def test_a_killed_process_is_gone_on_with(
    sqlite_database: Database, sqlite_url: str, tmp_path: Path, call: str, calls: int
) -> None:
    env = environment(tmp_path)
    stores = VectorStores.from_registry(Registry(), env, default="sqlite")
    house = House(sqlite_database, stores)
    dataset_id, _ = await filled(house)
    old, before = await row(house, dataset_id), await answers(house, dataset_id)
    await mover(house).begin(dataset_id, "qdrant", house.user)
    await stores.close()  # the embedded stores are one process's
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(SCRIPT), sqlite_url, json.dumps(env), house.tenant.id, call, str(calls)
    )
    assert await process.wait() == -signal.SIGKILL
    assert await answers(house, dataset_id) == before
    assert not (await mover(house).state(dataset_id)).done
    while await house.turns.run_here(house.tenant.id):
        pass
    await whole(house, dataset_id)
    assert await answers(house, dataset_id) == before
    assert (await mover(house).state(dataset_id)).store == "qdrant"
    assert await held(house, old) == 0
    await stores.close()


@pytest.mark.parametrize("fault", ["loses", "scores", "hides"])
async def test_a_store_that_is_not_the_same_is_not_asked(house: House, fault: str) -> None:
    dataset_id, _ = await filled(house)
    before = await answers(house, dataset_id)
    target: Any = await house.stores.open("qdrant")
    upsert, search = target.upsert, target.search

    async def losing(space: Space, partition: str, records: Sequence[Record]) -> None:
        await upsert(space, partition, [record for record in records if record.text != "milk is hot"])

    async def scoring(*args: Any, **options: Any) -> list[Hit]:
        hits = await search(*args, **options)
        return [msgspec.structs.replace(hit, score=hit.score * 0.999) for hit in hits]

    async def hiding(*args: Any, **options: Any) -> list[Hit]:
        return list((await search(*args, **options))[1:])

    if fault == "loses":
        target.upsert = losing
    else:
        target.search = scoring if fault == "scores" else hiding
    await mover(house).begin(dataset_id, "qdrant", house.user)
    await house.work()
    state = await mover(house).state(dataset_id)
    assert (state.store, state.moving) == ("sqlite", True)
    assert "qdrant is not what sqlite is" in (state.error or "")
    assert await answers(house, dataset_id) == before
    if fault == "loses":  # mended, it goes on; else it is given up
        target.upsert = upsert
        await mover(house).begin(dataset_id, "qdrant", house.user)
    else:
        await mover(house).begin(dataset_id, "sqlite", house.user)
    await house.work()
    target.search = search
    await whole(house, dataset_id)
    state = await mover(house).state(dataset_id)
    assert (state.store, state.done, state.error) == ("qdrant" if fault == "loses" else "sqlite", True, None)
    assert await answers(house, dataset_id) == before


async def test_what_cannot_move_is_refused(house: House) -> None:
    economy = await house.dataset("Words", "economy")
    with pytest.raises(BadInput, match="no vectors"):
        await mover(house).begin(economy.id, "qdrant", house.user)
    dataset_id, _ = await filled(house)
    with pytest.raises(DifyError, match="nowhere"):
        await mover(house).begin(dataset_id, "nowhere", house.user)
    await mover(house).begin(dataset_id, "sqlite", house.user)  # it is there already
    assert await house.left() == []


def test_answers_are_the_same_but_for_ties_at_their_end() -> None:
    def hits(**scores: float) -> list[Hit]:
        return [Hit(id=name, text="", score=score) for name, score in scores.items()]

    assert same_answers(hits(a=0.9, b=0.5), hits(a=0.90005, b=0.5)) == 0
    assert same_answers(hits(a=0.9, b=0.5), hits(a=0.9, c=0.5)) == 0
    assert same_answers(hits(a=0.9, b=0.5), hits(b=0.5, c=0.5)) == 1
    assert same_answers(hits(a=0.9, b=0.5), hits(a=0.8, b=0.5)) is None
    assert same_answers(hits(a=0.9, b=0.5), hits(a=0.9)) == 1
