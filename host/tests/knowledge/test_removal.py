"""What is deleted while it is indexed stops at the next step and leaves nothing, also when its worker is killed."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from dify_host.db.engine import Database
from dify_host.db.types import utc_now
from dify_host.files.tables import upload_files
from dify_host.knowledge.datasets import DatasetChanges
from dify_host.knowledge.records import IndexStruct
from dify_host.knowledge.tables import (
    child_chunks,
    dataset_keywords,
    datasets,
    document_segments,
    documents,
    knowledge_tasks,
    knowledge_turns,
)
from dify_host.knowledge.tasks import wake_lost_turns
from dify_kernel.registry import Registry

from .house import House, custom_rule, embedded_stores

SCRIPT = Path(__file__).with_name("removal_run.py")
TEXT = "\n".join(f"Fact number {n}: the code of room {n} is {n * 37}." for n in range(40))
needs_sqlite = pytest.mark.skipif("sqlite" not in Registry().names("vdb"), reason="needs a store that survives")


async def held(house: House, dataset_id: str, index: IndexStruct | None) -> dict[str, int]:
    """How many rows, vectors and files are left of a knowledge base."""
    counts: dict[str, int] = {}
    async with house.db.read() as conn:
        for table in (documents, document_segments, child_chunks, dataset_keywords, knowledge_tasks):
            rows = sa.select(sa.func.count()).select_from(table).where(table.c.dataset_id == dataset_id)
            counts[table.name] = (await conn.execute(rows)).scalar_one()
        counts["upload_files"] = (await conn.execute(sa.select(sa.func.count(upload_files.c.id)))).scalar_one()
    counts["files"] = len([key async for key in house.storage.scan("")])
    if index is not None and index.space is not None:
        store = await house.stores.open(index.store)
        counts["vectors"] = await store.count(index.space, dataset_id)
    return {name: number for name, number in counts.items() if number}


async def place(house: House, dataset_id: str) -> IndexStruct | None:
    async with house.db.read() as conn:
        value = await conn.execute(sa.select(datasets.c.index_struct).where(datasets.c.id == dataset_id))
        return IndexStruct.read(value.scalar_one())


def while_it_embeds(house: House, call: int, act: Callable[[], Awaitable[Any]]) -> None:
    """Let something happen while a call of the model is under way."""
    embed, calls = house.models.embed, 0

    async def embedding(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            await act()
        return await embed(*args, **options)

    house.models.embed = embedding  # type: ignore[method-assign]


@pytest.mark.parametrize("form", ["text_model", "hierarchical_model"])
async def test_a_document_is_deleted_while_it_is_indexed(any_house: House, form: str) -> None:
    house = any_house
    dataset = await house.dataset()
    subs = {"parent_mode": "paragraph", "subchunk_segmentation": {"separator": ".", "max_tokens": 60}}
    rule = custom_rule(**(subs if form == "hierarchical_model" else {}))
    document_id = await house.queue(dataset.id, TEXT, process_rule=rule, doc_form=form)
    while_it_embeds(house, 6, lambda: house.documents.delete(dataset.id, document_id))
    await house.work()
    assert await held(house, dataset.id, await place(house, dataset.id)) == {}
    assert len(house.models.embedded) < 10  # it stopped at the next step


async def test_words_of_a_deleted_document_are_not_written(any_house: House) -> None:
    house = any_house
    dataset = await house.dataset(technique="economy")
    kept = await house.add(dataset.id, "The other one")
    before = await held(house, dataset.id, None)
    document_id = await house.queue(dataset.id, TEXT)
    await asyncio.gather(house.work(), house.documents.delete(dataset.id, document_id))
    await house.work()
    assert await held(house, dataset.id, None) == before
    assert (await house.documents.find(dataset.id)).data[0].id == kept


async def test_a_dataset_is_deleted_while_it_is_indexed(any_house: House) -> None:
    house = any_house
    dataset = await house.dataset()
    for number in range(3):
        await house.queue(dataset.id, f"{TEXT}\nText {number}")
    index = await place(house, dataset.id)
    assert index is not None

    async def delete() -> None:
        nonlocal index
        index = await place(house, dataset.id)
        await house.datasets.delete(dataset.id)

    while_it_embeds(house, 6, delete)
    await house.work()
    assert index.space is not None
    assert await held(house, dataset.id, index) == {}
    assert len(house.models.embedded) < 12


async def test_a_document_is_deleted_while_a_new_index_is_made(any_house: House) -> None:
    house = any_house
    dataset = await house.dataset()
    document_id = await house.add(dataset.id, TEXT)
    house.models.infos["other"] = house.models.infos["words"]
    changes = DatasetChanges(embedding_model="other", embedding_model_provider="fake")
    await house.datasets.update(dataset.id, changes, house.user)
    while_it_embeds(house, 2, lambda: house.documents.delete(dataset.id, document_id))
    await house.work()
    assert await held(house, dataset.id, await place(house, dataset.id)) == {}


@needs_sqlite
@pytest.mark.parametrize("what", ["document", "dataset"])
async def test_nothing_is_left_when_the_worker_is_killed_after_the_deletion(
    sqlite_database: Database, sqlite_url: str, tmp_path: Path, what: str
) -> None:
    async with embedded_stores(Registry(), tmp_path) as stores:
        house = House(sqlite_database, stores)
        dataset = await house.dataset()
        await house.add(dataset.id, "It stays" if what == "document" else "It goes")
        index = await place(house, dataset.id)
        before = await held(house, dataset.id, index)
        document_id = await house.queue(dataset.id, TEXT)
        named = document_id if what == "document" else ""
        arguments = (sqlite_url, str(tmp_path / "vectors.db"), house.tenant.id, dataset.id, named, TEXT)
        process = await asyncio.create_subprocess_exec(sys.executable, str(SCRIPT), *arguments)
        assert await process.wait() == -signal.SIGKILL
        dead = await held(house, dataset.id, index)
        assert dead["vectors"] > 1  # what the dead one wrote after the deletion
        assert dead["knowledge_tasks"] > 0
        async with house.db.write() as conn:  # its turn is taken for lost
            await conn.execute(knowledge_turns.update().values(looked_at=utc_now() - timedelta(hours=1)))
        assert await wake_lost_turns(house.db) > 0
        await house.work()
        left = await held(house, dataset.id, index)
        # The storage of the dead one was its own; by its rows, no file of what is gone is known any more.
        assert {**left, "files": 0} == {**(before if what == "document" else {}), "files": 0}
