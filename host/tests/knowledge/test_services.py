"""Knowledge bases, documents and segments as the API handles them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from dify_host.apps.tables import app_dataset_joins, apps, tag_bindings, tags
from dify_host.db.types import new_id
from dify_host.identity.tables import accounts, tenant_account_joins, tenants
from dify_host.knowledge.access import Person
from dify_host.knowledge.datasets import DatasetChanges, DatasetService, NewDataset
from dify_host.knowledge.documents import DocumentOptions, DocumentText
from dify_host.knowledge.errors import (
    ArchivedDocumentImmutable,
    DatasetInUse,
    DatasetNameDuplicate,
    DatasetNotFound,
    DocumentIndexing,
    DocumentNotFound,
    InvalidAction,
    ProviderNotInitialize,
    SegmentNotFound,
)
from dify_host.knowledge.rules import ProcessRule
from dify_host.knowledge.segments import NewSegment, SegmentChanges
from dify_host.knowledge.tables import document_segments, documents
from dify_kernel.errors import BadInput, InvokeAuthorizationError, NotFound

from .house import MODEL, House, custom_rule


async def test_a_dataset_is_made_shown_changed_and_deleted(any_house: House) -> None:
    house = any_house
    made = await house.dataset("Handbook")
    assert (made.name, made.indexing_technique, made.embedding_model) == ("Handbook", "high_quality", MODEL)
    assert (made.permission, made.provider, made.document_count, made.app_count) == ("only_me", "vendor", 0, 0)
    assert made.retrieval_model_dict["search_method"] == "semantic_search"
    await house.add(made.id, "One\nTwo")
    await _join(house, house.user)
    changed = await house.datasets.update(
        made.id,
        DatasetChanges(name="Book", permission="partial_members", partial_member_list=[house.user]),
        house.user,
    )
    assert (changed.name, changed.permission, changed.partial_member_list) == ("Book", "partial_members", [house.user])
    assert (changed.document_count, changed.total_available_documents, changed.word_count) == (1, 1, 7)
    assert changed.doc_form == "text_model"
    await house.datasets.delete(made.id)
    with pytest.raises(DatasetNotFound):
        await house.datasets.get(made.id)
    assert (await house.datasets.find()).total == 0


async def test_deleting_a_dataset_empties_its_partition(house: House) -> None:
    dataset = await house.dataset()
    await house.add(dataset.id, "One\nTwo")
    (record, _) = await house.vectors(dataset.id)
    index = (await _row(house, dataset.id)).index
    assert index is not None
    assert index.space is not None
    await house.datasets.delete(dataset.id)
    store = await house.stores.open(index.store)
    assert await store.count(index.space, dataset.id) == 0
    assert await store.get(index.space, dataset.id, [record.id]) == []


async def _join(house: House, account_id: str) -> None:
    join = {"tenant_id": house.tenant.id, "account_id": account_id, "role": "editor", "current": False}
    async with house.db.write() as conn:
        await conn.execute(tenant_account_joins.insert().values(join))


async def _row(house: House, dataset_id: str):  # type: ignore[no-untyped-def]
    async with house.db.read() as conn:
        return await house.rows.dataset(conn, dataset_id)


async def test_names_are_unique_in_a_tenant(house: House) -> None:
    await house.dataset("Handbook")
    with pytest.raises(DatasetNameDuplicate) as caught:
        await house.dataset("Handbook")
    assert (caught.value.code, caught.value.status) == ("dataset_name_duplicate", 409)
    other = await house.dataset("Other")
    with pytest.raises(DatasetNameDuplicate):
        await house.datasets.update(other.id, DatasetChanges(name="Handbook"), house.user)
    await house.datasets.update(other.id, DatasetChanges(name="Other"), house.user)
    await House(house.db, house.stores).dataset("Handbook")


@pytest.mark.parametrize("name", ["", "x" * 41])
def test_names_have_1_to_40_characters(name: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"name": name}, NewDataset)


async def test_high_quality_needs_a_model(house: House) -> None:
    with pytest.raises(ProviderNotInitialize):
        await house.datasets.create(NewDataset(name="a", indexing_technique="high_quality"), house.user)

    async def choice(provider: str | None, model: str | None) -> tuple[str, str]:
        return provider or "fake", model or MODEL

    service = DatasetService(house.db, house.tenant, house.storage, house.stores, house.models, embedding_choice=choice)
    made = await service.create(NewDataset(name="a", indexing_technique="high_quality"), house.user)
    assert (made.embedding_model_provider, made.embedding_model) == ("fake", MODEL)


async def test_of_many_that_take_a_name_at_once_one_has_it(any_house: House) -> None:
    house = any_house
    async with house.db.write() as conn:
        await conn.execute(tenants.insert().values(id=house.tenant.id, name="House"))
    for name in ("Tea", "Milk", "Cocoa", "Juice"):  # the first find the connections closed, and come one by one
        new = NewDataset(name=name)
        made = await asyncio.gather(*(house.datasets.create(new, house.user) for _ in range(5)), return_exceptions=True)
        refused = [type(item) for item in made if isinstance(item, BaseException)]
        assert refused == [DatasetNameDuplicate] * 4


async def test_lists_are_newest_first_filtered_and_paged(any_house: House) -> None:
    house = any_house
    made = [await house.dataset(name, technique=None) for name in ("Tea", "Green tea", "Coffee")]
    page = await house.datasets.find(limit=2)
    assert ([item.name for item in page.data], page.total, page.has_more) == (["Coffee", "Green tea"], 3, True)
    assert [item.name for item in (await house.datasets.find(page=2, limit=2)).data] == ["Tea"]
    assert [item.name for item in (await house.datasets.find(keyword="TEA")).data] == ["Green tea", "Tea"]
    assert (await house.datasets.find(keyword="%")).total == 0
    tag = new_id()
    async with house.db.write() as conn:
        row = {"id": tag, "tenant_id": house.tenant.id, "name": "hot", "type": "knowledge", "created_by": house.user}
        await conn.execute(tags.insert().values(row))
        bound = {"tag_id": tag, "target_id": made[0].id, "tenant_id": house.tenant.id, "created_by": house.user}
        await conn.execute(tag_bindings.insert().values(bound))
        await conn.execute(accounts.insert().values(id=house.user, name="Ann", email=f"{house.user}@example.com"))
    (found,) = (await house.datasets.find(tag_ids=[tag])).data
    assert (found.name, [item.name for item in found.tags], found.author_name) == ("Tea", ["hot"], "Ann")
    stranger = new_id()
    other = Person(account_id=stranger, role="editor")
    assert (await house.datasets.find(person=other, include_all=True)).total == 0
    assert (await house.datasets.find(person=Person(account_id=house.user, role="editor"))).total == 3
    assert (await house.datasets.find(person=Person(account_id=stranger))).total == 0
    assert (await house.datasets.find(person=Person(account_id=stranger), include_all=True)).total == 3
    everyone = DatasetChanges(permission="all_team_members")
    await house.datasets.update(made[1].id, everyone, house.user)
    some = DatasetChanges(permission="partial_members", partial_member_list=[stranger])
    with pytest.raises(BadInput, match="no member of the workspace"):
        await house.datasets.update(made[2].id, some, house.user)
    await _join(house, stranger)
    await house.datasets.update(made[2].id, some, house.user)
    assert [item.name for item in (await house.datasets.find(person=other)).data] == ["Coffee", "Green tea"]


async def test_a_dataset_in_use_is_not_deleted(house: House) -> None:
    dataset = await house.dataset()
    app = {"id": new_id(), "tenant_id": house.tenant.id, "name": "a", "mode": "chat", "created_by": house.user}
    async with house.db.write() as conn:
        await conn.execute(apps.insert().values(app))
        await conn.execute(app_dataset_joins.insert().values(app_id=app["id"], dataset_id=dataset.id))
    assert (await house.datasets.get(dataset.id)).app_count == 1
    with pytest.raises(DatasetInUse):
        await house.datasets.delete(dataset.id)


async def test_another_technique_indexes_everything_again(house: House) -> None:
    dataset = await house.dataset(technique="economy")
    document_id = await house.add(dataset.id, "Tea is green\nCoffee is black")
    changes = DatasetChanges(indexing_technique="high_quality", embedding_model=MODEL, embedding_model_provider="fake")
    await house.datasets.update(dataset.id, changes, house.user)
    await house.work()
    assert (await house.documents.get(dataset.id, document_id)).display_status == "available"
    assert len(await house.vectors(dataset.id)) == 2
    old = (await _row(house, dataset.id)).index
    await house.datasets.update(dataset.id, DatasetChanges(embedding_model="other"), house.user)
    assert (await _row(house, dataset.id)).index.collection != old.collection
    await house.work()
    assert len(await house.vectors(dataset.id)) == 2
    store = await house.stores.open(old.store)
    assert await store.count(old.space, dataset.id) == 0


async def test_nothing_of_another_tenant_can_be_reached(house: House) -> None:
    stranger = House(house.db, house.stores)
    dataset = await house.dataset()
    document_id = await house.add(dataset.id, "One")
    segment = (await house.segments.find(dataset.id, document_id)).data[0]
    text, options = DocumentText(name="a", text="b"), DocumentOptions(process_rule=ProcessRule())
    calls = [
        stranger.datasets.get(dataset.id),
        stranger.datasets.update(dataset.id, DatasetChanges(name="x"), stranger.user),
        stranger.datasets.delete(dataset.id),
        stranger.documents.create_by_text(dataset.id, text, options, stranger.user),
        stranger.documents.find(dataset.id),
        stranger.documents.get(dataset.id, document_id),
        stranger.documents.delete(dataset.id, document_id),
        stranger.documents.set_status(dataset.id, "disable", [document_id], stranger.user),
        stranger.documents.indexing_status(dataset.id, "x"),
        stranger.segments.find(dataset.id, document_id),
        stranger.segments.get(dataset.id, document_id, segment.id),
        stranger.segments.delete(dataset.id, document_id, segment.id),
        stranger.segments.create(dataset.id, document_id, [NewSegment(content="x")], stranger.user),
    ]
    for call in calls:
        with pytest.raises(NotFound):
            await call
    assert (await stranger.datasets.find()).total == 0
    assert (await house.documents.get(dataset.id, document_id)).display_status == "available"


async def test_documents_are_listed_by_display_status(any_house: House) -> None:
    house = any_house
    dataset = await house.dataset(technique="economy")
    ids = {name: await house.add(dataset.id, "Text", name) for name in ("on", "off", "old")}
    ids["bad"] = await house.add(dataset.id, " ", "bad")
    ids["new"] = await house.queue(dataset.id, "Text", "new")
    await house.documents.set_status(dataset.id, "disable", [ids["off"]], house.user)
    await house.documents.set_status(dataset.id, "archive", [ids["old"]], house.user)

    async def names(status: str) -> list[str]:
        return [item.name for item in (await house.documents.find(dataset.id, status=status)).data]

    wanted = {"available": "on", "active": "on", "disabled": "off", "archived": "old", "error": "bad", "queuing": "new"}
    for status, name in wanted.items():
        assert await names(status) == [name]
    page = await house.documents.find(dataset.id, limit=2)
    assert ([item.name for item in page.data], page.total) == (["new", "bad"], 5)
    assert [item.display_status for item in page.data] == ["queuing", "error"]
    assert [item.position for item in page.data] == [5, 4]
    with pytest.raises(BadInput):
        await names("sleepy")


async def test_what_a_document_refuses(house: House) -> None:
    dataset = await house.dataset(technique="economy")
    document_id = await house.add(dataset.id, "Text")
    with pytest.raises(InvalidAction):
        await house.documents.set_status(dataset.id, "explode", [document_id], house.user)
    with pytest.raises(InvalidAction):
        await house.documents.pause(dataset.id, document_id, house.user)
    with pytest.raises(DocumentNotFound):
        await house.documents.set_status(dataset.id, "disable", [document_id, new_id()], house.user)
    assert (await house.documents.get(dataset.id, document_id)).enabled
    await house.documents.set_status(dataset.id, "archive", [document_id], house.user)
    with pytest.raises(ArchivedDocumentImmutable):
        await house.documents.delete(dataset.id, document_id)
    await house.documents.set_status(dataset.id, "un_archive", [document_id], house.user)
    assert (await house.documents.rename(dataset.id, document_id, "Better")).name == "Better"
    waiting = await house.queue(dataset.id, "Text")
    with pytest.raises(DocumentIndexing):
        await house.documents.set_status(dataset.id, "disable", [waiting], house.user)


async def test_a_document_that_is_made_has_its_job_and_one_that_fails_has_none(house: House) -> None:
    dataset = await house.dataset(technique="economy")
    document_id = await house.queue(dataset.id, "Text")
    assert await house.tasks() == [document_id]
    with pytest.raises(BadInput, match="max_tokens"):
        await house.queue(dataset.id, "Text", process_rule=custom_rule(max_tokens=10))
    assert await house.tasks() == [document_id]
    assert (await house.documents.find(dataset.id)).total == 1


async def test_a_detail_shows_its_rules_and_source(house: House) -> None:
    dataset = await house.dataset(technique="economy")
    document_id = await house.add(dataset.id, "One\nTwo three", "notes")
    detail = await house.documents.get(dataset.id, document_id)
    assert detail.document_process_rule["mode"] == detail.dataset_process_rule["mode"] == "custom"
    assert detail.document_process_rule["rules"]["segmentation"]["max_tokens"] == 100
    assert detail.data_source_detail_dict["upload_file"]["name"] == "notes"
    assert (detail.segment_count, detail.average_segment_length) == (2, 6.5)
    assert (detail.doc_language, detail.created_from) == ("English", "api")


@pytest.mark.parametrize("technique", ["high_quality", "economy"])
async def test_segments_are_added_changed_and_deleted(house: House, technique: str) -> None:
    dataset = await house.dataset(technique=technique)
    document_id = await house.add(dataset.id, "One")
    made = await house.segments.create(
        dataset.id,
        document_id,
        [NewSegment(content=" Two "), NewSegment(content="Three", keywords=["third"])],
        house.user,
    )
    assert [(item.content, item.position, item.status) for item in made] == [
        ("Two", 2, "completed"),
        ("Three", 3, "completed"),
    ]
    assert made[1].keywords == ["third"]
    changed = await house.segments.update(
        dataset.id, document_id, made[0].id, SegmentChanges(content="Deux"), house.user
    )
    assert (changed.content, changed.status, changed.word_count) == ("Deux", "completed", 4)
    await house.segments.delete(dataset.id, document_id, made[1].id)
    page = await house.segments.find(dataset.id, document_id)
    assert [item.content for item in page.data] == ["One", "Deux"]
    assert (await house.documents.get(dataset.id, document_id)).word_count == 7
    if technique == "high_quality":
        assert sorted(record.text for record in await house.vectors(dataset.id)) == ["Deux", "One"]
    assert [item.content for item in (await house.segments.find(dataset.id, document_id, keyword="deu")).data] == [
        "Deux"
    ]


async def test_what_a_segment_refuses(house: House) -> None:
    dataset = await house.dataset()
    document_id = await house.add(dataset.id, "One")
    segment = (await house.segments.find(dataset.id, document_id)).data[0]
    with pytest.raises(BadInput, match="Segments is required"):
        await house.segments.create(dataset.id, document_id, [], house.user)
    with pytest.raises(BadInput, match="Content is empty"):
        await house.segments.create(dataset.id, document_id, [NewSegment(content=" ")], house.user)
    await house.segments.update(dataset.id, document_id, segment.id, SegmentChanges(enabled=False), house.user)
    with pytest.raises(BadInput, match="disabled segment"):
        await house.segments.update(dataset.id, document_id, segment.id, SegmentChanges(content="x"), house.user)
    with pytest.raises(SegmentNotFound):
        await house.segments.get(dataset.id, document_id, new_id())
    waiting = await house.queue(dataset.id, "Text")
    with pytest.raises(SegmentNotFound, match="not completed"):
        await house.segments.create(dataset.id, waiting, [NewSegment(content="x")], house.user)


async def test_a_segment_that_cannot_be_embedded_keeps_the_error(house: House) -> None:
    dataset = await house.dataset()
    document_id = await house.add(dataset.id, "One")
    house.models.error = InvokeAuthorizationError("The key was revoked.")
    with pytest.raises(InvokeAuthorizationError):
        await house.segments.create(dataset.id, document_id, [NewSegment(content="Two")], house.user)
    (failed,) = (await house.segments.find(dataset.id, document_id, status=["error"])).data
    assert (failed.content, failed.error) == ("Two", "The key was revoked.")
    house.models.error = None
    await house.documents.retry(dataset.id, document_id)
    await house.work()
    assert sorted(record.text for record in await house.vectors(dataset.id)) == ["One", "Two"]


async def test_child_chunks_are_added_changed_and_deleted(house: House) -> None:
    dataset = await house.dataset()
    rule = custom_rule(
        500, "\n\n", parent_mode="paragraph", subchunk_segmentation={"max_tokens": 60, "separator": ". "}
    )
    document_id = await house.add(dataset.id, "One. Two", process_rule=rule, doc_form="hierarchical_model")
    place = (dataset.id, document_id, (await house.segments.find(dataset.id, document_id)).data[0].id)
    made = await house.segments.create_child(*place, "Three", house.user)
    assert (made.position, made.type) == (3, "customized")
    await house.segments.update_child(*place, made.id, "Trois", house.user)
    first = (await house.segments.find_children(*place, keyword="one")).data[0]
    await house.segments.delete_child(*place, first.id)
    assert [item.content for item in (await house.segments.find_children(*place)).data] == ["Two", "Trois"]
    assert sorted(record.text for record in await house.vectors(dataset.id)) == ["Trois", "Two"]
    changes = SegmentChanges(content="Four. Five", regenerate_child_chunks=True)
    changed = await house.segments.update(*place, changes, house.user)
    assert [child.content for child in changed.child_chunks] == ["Four", "Five"]
    assert sorted(record.text for record in await house.vectors(dataset.id)) == ["Five", "Four"]
    added = await house.segments.create(dataset.id, document_id, [NewSegment(content="Six. Seven")], house.user)
    assert [child.content for child in added[0].child_chunks] == ["Six", "Seven"]


async def test_child_chunks_made_at_once_get_different_positions(any_house: House) -> None:
    house = any_house
    dataset = await house.dataset(technique="economy")
    document_id = await house.add(dataset.id, "Text")
    place = (dataset.id, document_id, (await house.segments.find(dataset.id, document_id)).data[0].id)
    for _ in range(4):  # the first find the connections closed, and come one by one
        await asyncio.gather(*(house.segments.create_child(*place, f"Child {n}", house.user) for n in range(5)))
    children = (await house.segments.find_children(*place, limit=100)).data
    assert [child.position for child in children] == list(range(1, 21))


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("change", ["update", "delete"])
async def test_who_changes_a_segment_waits_for_its_document_first(any_house: House, change: str) -> None:
    """Indexing locks them in that order, so that another one would be a deadlock."""
    house = any_house
    dataset = await house.dataset(technique="economy")
    document_id = await house.add(dataset.id, "Text")
    segment_id = (await house.segments.find(dataset.id, document_id)).data[0].id
    place = (dataset.id, document_id, segment_id)
    async with house.db.write() as conn:
        await conn.execute(sa.select(documents.c.id).where(documents.c.id == document_id).with_for_update())
        calls: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
            "update": lambda: house.segments.update(*place, SegmentChanges(content="Other"), house.user),
            "delete": lambda: house.segments.delete(*place),
        }
        waiting = asyncio.ensure_future(calls[change]())
        await house.blocked(waiting)
        segment = sa.select(document_segments.c.id).where(document_segments.c.id == segment_id)
        assert (await conn.execute(segment.with_for_update(nowait=True))).scalar_one() == segment_id
    await waiting


async def test_documents_made_at_once_get_different_positions(any_house: House) -> None:
    house = any_house
    dataset = await house.dataset(technique="economy")
    await asyncio.gather(*(house.queue(dataset.id, "Text", f"n{n}") for n in range(5)))
    page = await house.documents.find(dataset.id)
    assert sorted(item.position for item in page.data) == [1, 2, 3, 4, 5]


async def test_the_file_of_a_document_goes_with_it(house: House) -> None:
    async def kept() -> int:
        return len([entry async for entry in house.storage.scan()])

    dataset = await house.dataset(technique="economy")
    document_id = await house.add(dataset.id, "One")
    assert await kept() == 1
    await house.documents.update_by_text(dataset.id, document_id, DocumentText(name="n", text="Two"), house.user)
    await house.work()
    assert await kept() == 1
    upload_id = (await house.documents.get(dataset.id, document_id)).data_source_info["upload_file_id"]
    options = DocumentOptions(process_rule=custom_rule())
    shared = await house.documents.create_by_file(dataset.id, upload_id, options, house.user)
    await house.work()
    await house.documents.delete(dataset.id, document_id)
    assert await kept() == 1
    assert (await house.documents.get(dataset.id, shared.document.id)).indexing_status == "completed"
    await house.datasets.delete(dataset.id)
    assert await kept() == 0
