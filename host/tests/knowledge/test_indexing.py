"""Documents become segments and vectors: every state, every failure, every resumption."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from dify_host.db.types import new_id, utc_now
from dify_host.knowledge.documents import DocumentOptions, DocumentText
from dify_host.knowledge.errors import DocumentIndexing, DocumentNotFound, InvalidAction
from dify_host.knowledge.patience import Patience, patiently
from dify_host.knowledge.tables import dataset_keywords, documents, embeddings, knowledge_turns
from dify_kernel.contracts.model import Embeddings, Usage
from dify_kernel.errors import BadInput, InvokeAuthorizationError, InvokeRateLimitError
from dify_kernel.testing.fake_models import word_vector

from .documents import make_docx, make_pdf, make_xlsx
from .house import House, custom_rule

LINES = [f"Fact number {n}: the code of room {n} is {n * 37}." for n in range(30)]
TEXT = "\n".join(LINES)


async def contents(house: House, dataset_id: str, document_id: str) -> list[str]:
    return [item.content for item in (await house.segments.find(dataset_id, document_id, limit=100)).data]


async def test_a_text_becomes_segments_and_vectors(any_house: House) -> None:
    house = any_house
    dataset = await house.dataset()
    document_id = await house.add(dataset.id, TEXT)
    document = await house.documents.get(dataset.id, document_id)
    assert (document.indexing_status, document.display_status, document.error) == ("completed", "available", None)
    assert (document.segment_count, document.word_count) == (30, len(TEXT))
    assert document.tokens is not None
    assert document.tokens > 100
    page = await house.segments.find(dataset.id, document_id, limit=100)
    assert [item.content for item in page.data] == LINES
    assert [item.position for item in page.data] == list(range(1, 31))
    assert {item.status for item in page.data} == {"completed"}
    records = await house.vectors(dataset.id)
    assert {record.id: record.text for record in records} == {item.index_node_id: item.content for item in page.data}
    assert {record.metadata["document_id"] for record in records} == {document_id}
    assert {record.metadata["doc_hash"] for record in records} == {item.index_node_hash for item in page.data}
    assert house.notified == [(house.tenant.id, dataset.id, document_id, "completed")]


async def test_progress_is_visible_and_time_stamps_are_in_order(house: House) -> None:
    dataset = await house.dataset()
    made = await house.documents.create_by_text(
        dataset.id, DocumentText(name="a", text=TEXT), DocumentOptions(process_rule=custom_rule()), house.user
    )
    (status,) = await house.documents.indexing_status(dataset.id, made.batch)
    assert (status.indexing_status, status.completed_segments, status.total_segments) == ("waiting", 0, 0)
    seen: list[tuple[str, int, int]] = []
    embed = house.models.embed

    async def watching(*args: Any, **options: Any) -> Embeddings:
        (now,) = await house.documents.indexing_status(dataset.id, made.batch)
        seen.append((now.indexing_status, now.completed_segments, now.total_segments))
        return await embed(*args, **options)

    house.models.embed = watching  # type: ignore[method-assign]
    await house.work()
    assert list(dict.fromkeys(seen)) == [("indexing", 0, 30), ("indexing", 16, 30)]
    (status,) = await house.documents.indexing_status(dataset.id, made.batch)
    assert (status.indexing_status, status.completed_segments, status.total_segments) == ("completed", 30, 30)
    times = [
        status.processing_started_at,
        status.parsing_completed_at,
        status.cleaning_completed_at,
        status.splitting_completed_at,
        status.completed_at,
    ]
    assert all(times)
    assert times == sorted(times)  # type: ignore[type-var]
    with pytest.raises(DocumentNotFound):
        await house.documents.indexing_status(dataset.id, "20000101000000123456")


@pytest.mark.parametrize(
    ("name", "data", "found"),
    [
        (
            "a.pdf",
            make_pdf(["Tea costs two euros.", "Coffee costs three."]),
            ["Tea costs two euros.", "Coffee costs three."],
        ),
        ("a.docx", make_docx(["Tea costs two euros."], [["x", "y"]]), ["Tea costs two euros."]),
        ("a.xlsx", make_xlsx([["name", "price"], ["tea", 2]]), ['"name":"tea";"price":"2"']),
        ("a.csv", b"name,price\ntea,2\ncoffee,3", ["name: tea;price: 2", "name: coffee;price: 3"]),
        ("a.md", b"# Tea\nTwo euros.", ["Tea", "Two euros."]),
        ("a.html", b"<p>Tea costs</p><p>two euros</p>", ["Tea costs", "two euros"]),
    ],
)
async def test_every_format_is_indexed(house: House, name: str, data: bytes, found: list[str]) -> None:
    dataset = await house.dataset()
    upload_id = await upload(house, name, data)
    options = DocumentOptions(process_rule=custom_rule())
    made = await house.documents.create_by_file(dataset.id, upload_id, options, house.user)
    await house.work()
    document = await house.documents.get(dataset.id, made.document.id)
    assert document.indexing_status == "completed"
    assert (await contents(house, dataset.id, document.id))[: len(found)] == found
    assert document.data_source_detail_dict["upload_file"]["name"] == name


async def upload(house: House, name: str, data: bytes) -> str:
    from dify_host.knowledge.links import Links

    upload_id = new_id()
    extension = name.rpartition(".")[2]
    await house.storage.save(f"upload_files/{upload_id}", data)
    values = {
        "id": upload_id,
        "storage_type": "memory",
        "key": f"upload_files/{upload_id}",
        "name": name,
        "size": len(data),
        "extension": extension,
        "created_by": house.user,
    }
    async with house.db.write() as conn:
        await Links(house.db, house.tenant).add_upload(conn, values)
    return upload_id


async def test_a_file_that_cannot_be_read_keeps_its_error_and_can_be_replaced(house: House) -> None:
    dataset = await house.dataset()
    upload_id = await upload(house, "a.pdf", b"not a pdf")
    options = DocumentOptions(process_rule=custom_rule())
    made = await house.documents.create_by_file(dataset.id, upload_id, options, house.user)
    await house.work()
    document = await house.documents.get(dataset.id, made.document.id)
    assert document.indexing_status == "error"
    assert "its content is something else" in (document.error or "")
    assert house.notified == [(house.tenant.id, dataset.id, document.id, "error")]
    await house.documents.update_by_text(dataset.id, document.id, DocumentText(name="b", text="Good text."), house.user)
    await house.work()
    document = await house.documents.get(dataset.id, made.document.id)
    assert (document.indexing_status, document.error, document.name) == ("completed", None, "b")


async def test_a_document_without_text_says_so(house: House) -> None:
    dataset = await house.dataset()
    document_id = await house.add(dataset.id, " \n\n ")
    document = await house.documents.get(dataset.id, document_id)
    assert document.indexing_status == "error"
    assert "No text was found" in (document.error or "")


async def test_a_replaced_text_leaves_nothing_of_the_old_one(house: House) -> None:
    dataset = await house.dataset()
    document_id = await house.add(dataset.id, TEXT)
    await house.documents.update_by_text(dataset.id, document_id, DocumentText(name="n", text="One\nTwo"), house.user)
    with pytest.raises(DocumentIndexing):
        await house.documents.update_by_text(dataset.id, document_id, DocumentText(name="n", text="x"), house.user)
    await house.work()
    assert await contents(house, dataset.id, document_id) == ["One", "Two"]
    assert sorted(record.text for record in await house.vectors(dataset.id)) == ["One", "Two"]


async def test_a_job_that_is_delivered_twice_works_once(house: House) -> None:
    dataset = await house.dataset()
    document_id = await house.queue(dataset.id, TEXT)
    await asyncio.gather(*(house.indexer.run(document_id) for _ in range(3)))
    await house.indexer.run(document_id)
    assert await contents(house, dataset.id, document_id) == LINES
    assert sorted(record.text for record in await house.vectors(dataset.id)) == sorted(LINES)
    assert {told[3] for told in house.notified} == {"completed"}


class Refusing:
    """Makes the model fail at certain calls."""

    def __init__(self, house: House, errors: Sequence[Exception | None]) -> None:
        self._embed = house.models.embed
        self._errors = list(errors)
        house.models.embed = self.embed  # type: ignore[method-assign]

    async def embed(self, *args: Any, **options: Any) -> Embeddings:
        error = self._errors.pop(0) if self._errors else None
        if error is not None:
            raise error
        return await self._embed(*args, **options)


async def test_a_failed_document_goes_on_with_the_segments_that_are_left(house: House) -> None:
    dataset = await house.dataset()
    Refusing(house, [None] * 4 + [InvokeAuthorizationError("The key was revoked.")])
    document_id = await house.add(dataset.id, TEXT)
    document = await house.documents.get(dataset.id, document_id)
    assert (document.indexing_status, document.error) == ("error", "The key was revoked.")
    done = {record.id for record in await house.vectors(dataset.id)}
    assert len(done) == 16
    embedded = len(house.models.embedded)
    await house.documents.retry(dataset.id, document_id)
    await house.work()
    document = await house.documents.get(dataset.id, document_id)
    assert (document.indexing_status, document.error) == ("completed", None)
    records = await house.vectors(dataset.id)
    assert sorted(record.text for record in records) == sorted(LINES)
    assert done < {record.id for record in records}
    again = {text for texts in house.models.embedded[embedded:] for text in texts}
    assert again <= set(LINES[16:])
    with pytest.raises(InvalidAction):
        await house.documents.retry(dataset.id, document_id)


async def test_a_rate_limit_is_waited_out(house: House) -> None:
    dataset = await house.dataset()
    Refusing(house, [InvokeRateLimitError("Slow down."), None, InvokeRateLimitError("Slow down.")])
    document_id = await house.add(dataset.id, TEXT)
    assert (await house.documents.get(dataset.id, document_id)).indexing_status == "completed"
    assert len(await house.vectors(dataset.id)) == 30


async def test_a_rate_limit_that_never_ends_is_an_error(house: House) -> None:
    dataset = await house.dataset()
    house.models.error = InvokeRateLimitError("Slow down.")
    document_id = await house.add(dataset.id, TEXT)
    document = await house.documents.get(dataset.id, document_id)
    assert (document.indexing_status, document.error) == ("error", "Slow down.")


async def test_a_vector_that_is_not_a_number_costs_only_its_own_text(house: House) -> None:
    dataset = await house.dataset()

    async def embed(provider: str, model: str, texts: Sequence[str], *, input_type: str = "document") -> Embeddings:
        vectors = [[math.nan] * 64 if "number 7:" in text else word_vector(text) for text in texts]
        return Embeddings(vectors=vectors, usage=Usage())

    house.models.embed = embed  # type: ignore[method-assign]
    document_id = await house.add(dataset.id, TEXT)
    document = await house.documents.get(dataset.id, document_id)
    why = "The embedding model gave no usable vector for this text."
    assert (document.indexing_status, document.error) == ("completed", f"1 of 30 segments have no vector: {why}")
    (bad,) = (await house.segments.find(dataset.id, document_id, status=["error"])).data
    assert bad.content == LINES[7]
    for record in await house.vectors(dataset.id):
        wanted = word_vector(record.text)
        assert sum(a * b for a, b in zip(record.vector, wanted, strict=True)) == pytest.approx(
            math.hypot(*record.vector), rel=1e-4
        )


async def test_a_model_that_loses_a_text_is_an_error_and_not_a_shift(house: House) -> None:
    dataset = await house.dataset()

    async def embed(provider: str, model: str, texts: Sequence[str], *, input_type: str = "document") -> Embeddings:
        return Embeddings(vectors=[word_vector(text) for text in texts[1:]], usage=Usage())

    house.models.embed = embed  # type: ignore[method-assign]
    document_id = await house.add(dataset.id, TEXT)
    assert "gave 3 vectors for 4 texts" in ((await house.documents.get(dataset.id, document_id)).error or "")


async def test_what_was_embedded_once_is_not_sent_again(house: House) -> None:
    first, second = await house.dataset("One"), await house.dataset("Two")
    await house.add(first.id, TEXT)
    embedded = len(house.models.embedded)
    await house.add(second.id, TEXT + "\nSomething new")
    assert house.models.embedded[embedded:] == [("Something new",)]
    assert max(len(texts) for texts in house.models.embedded) == 4
    async with house.db.read() as conn:
        assert (await conn.execute(sa.select(sa.func.count()).select_from(embeddings))).scalar() == 31
    assert len(await house.vectors(second.id)) == 31


async def test_pausing_stops_and_resuming_goes_on(house: House) -> None:
    dataset = await house.dataset()
    document_id = await house.queue(dataset.id, TEXT)
    embed = house.models.embed

    async def pausing(*args: Any, **options: Any) -> Embeddings:
        answer = await embed(*args, **options)
        if len(house.models.embedded) == 4:
            await house.documents.pause(dataset.id, document_id, house.user)
        return answer

    house.models.embed = pausing  # type: ignore[method-assign]
    await house.work()
    document = await house.documents.get(dataset.id, document_id)
    assert document.display_status == "paused"
    assert len(await house.vectors(dataset.id)) == 16
    await house.indexer.run(document_id)
    assert len(await house.vectors(dataset.id)) == 16
    await house.documents.resume(dataset.id, document_id)
    await house.work()
    assert (await house.documents.get(dataset.id, document_id)).display_status == "available"
    assert sorted(record.text for record in await house.vectors(dataset.id)) == sorted(LINES)


async def test_a_document_that_is_deleted_while_it_is_indexed_leaves_nothing(house: House) -> None:
    dataset = await house.dataset()
    document_id = await house.queue(dataset.id, TEXT)
    embed = house.models.embed

    async def deleting(*args: Any, **options: Any) -> Embeddings:
        if len(house.models.embedded) == 5:
            await house.documents.pause(dataset.id, document_id, house.user)
            await house.documents.delete(dataset.id, document_id)
        return await embed(*args, **options)

    house.models.embed = deleting  # type: ignore[method-assign]
    await house.work()
    assert await house.vectors(dataset.id) == []
    with pytest.raises(DocumentNotFound):
        await house.documents.get(dataset.id, document_id)


async def test_economy_needs_no_model(house: House) -> None:
    dataset = await house.dataset(technique="economy")
    document_id = await house.add(dataset.id, TEXT)
    assert (await house.documents.get(dataset.id, document_id)).indexing_status == "completed"
    assert house.models.embedded == []
    segment = (await house.segments.find(dataset.id, document_id)).data[0]
    assert {"fact", "number", "room", "code"} <= set(segment.keywords)
    async with house.db.read() as conn:
        words = sa.select(sa.func.count()).select_from(dataset_keywords).where(dataset_keywords.c.keyword == "room")
        assert (await conn.execute(words)).scalar() == 30


async def test_parents_hold_children_and_only_children_are_embedded(house: House) -> None:
    dataset = await house.dataset()
    rule = custom_rule(
        200, "\n\n", parent_mode="paragraph", subchunk_segmentation={"max_tokens": 50, "separator": ". "}
    )
    document_id = await house.add(
        dataset.id, "One fact. Two facts\n\nThree facts. Four", process_rule=rule, doc_form="hierarchical_model"
    )
    page = await house.segments.find(dataset.id, document_id)
    assert [(item.content, [child.content for child in item.child_chunks]) for item in page.data] == [
        ("One fact. Two facts", ["One fact", "Two facts"]),
        ("Three facts. Four", ["Three facts", "Four"]),
    ]
    assert sorted(record.text for record in await house.vectors(dataset.id)) == sorted(
        ["One fact", "Two facts", "Three facts", "Four"]
    )


async def test_what_a_first_document_must_bring(house: House) -> None:
    dataset = await house.dataset(technique=None)
    text = DocumentText(name="a", text="b")
    with pytest.raises(BadInput, match="indexing_technique is required"):
        await house.documents.create_by_text(dataset.id, text, DocumentOptions(process_rule=custom_rule()), house.user)
    with pytest.raises(BadInput, match="process_rule is required"):
        await house.documents.create_by_text(
            dataset.id, text, DocumentOptions(indexing_technique="economy"), house.user
        )
    assert await house.tasks() == []
    await house.add(dataset.id, TEXT, indexing_technique="economy")
    later = await house.documents.create_by_text(dataset.id, text, DocumentOptions(), house.user)
    await house.work()
    assert (await house.documents.get(dataset.id, later.document.id)).indexing_status == "completed"
    assert (await house.datasets.get(dataset.id)).indexing_technique == "economy"


async def test_a_job_for_nothing_is_harmless(house: House) -> None:
    await house.indexer.run(new_id())


async def test_a_fault_of_ours_is_in_the_row_too(house: House) -> None:
    dataset = await house.dataset()
    document_id = await house.queue(dataset.id, TEXT)
    house.models.error = ZeroDivisionError("bug")
    with pytest.raises(ZeroDivisionError):
        await house.work()
    async with house.db.read() as conn:
        row = (await conn.execute(sa.select(documents).where(documents.c.id == document_id))).one()
    assert (row.indexing_status, row.error) == ("error", "ZeroDivisionError: bug")


async def test_what_a_document_waits_for_is_told(house: House) -> None:
    dataset = await house.dataset(technique="economy")
    ids = [await house.queue(dataset.id, f"Text {number}") for number in range(3)]
    batches = [(await house.documents.find(dataset.id, limit=10)).data]
    assert len(batches[0]) == 3

    async def reason(document_id: str) -> str | None:
        async with house.db.read() as conn:
            document = await house.rows.document(conn, dataset.id, document_id)
        (state,) = await house.documents.indexing_status(dataset.id, document.batch)
        return state.reason

    assert [await reason(id) for id in ids] == [
        "It is the next.",
        "1 tasks of this workspace are before it.",
        "2 tasks of this workspace are before it.",
    ]
    await house.documents.pause(dataset.id, ids[0], house.user)
    assert "paused" in (await reason(ids[0]) or "")
    async with house.db.write() as conn:
        await conn.execute(knowledge_turns.update().values(looked_at=utc_now() - timedelta(minutes=3)))
    assert "dify worker" in (await reason(ids[1]) or "")
    await house.work()
    assert [await reason(id) for id in ids[1:]] == [None, None]


async def test_the_wait_that_a_rate_limit_asks_for_is_kept_and_told(house: House) -> None:
    told: list[str | None] = []

    async def tell(note: str | None) -> None:
        told.append(note)

    failures = [InvokeRateLimitError("Slow down.", retry_after=0.2)]

    async def call() -> str:
        if failures:
            raise failures.pop()
        return "done"

    started = time.monotonic()
    assert await patiently(call, Patience(pause=0), tell) == "done"
    assert time.monotonic() - started >= 0.2
    assert (told[0] or "").startswith("Slow down. It goes on at ")
    assert told[1:] == [None]


async def test_what_stays_in_a_replaced_text_keeps_its_segments(house: House) -> None:
    dataset = await house.dataset()
    document_id = await house.add(dataset.id, TEXT)
    before = {item.content: item.id for item in (await house.segments.find(dataset.id, document_id, limit=100)).data}
    house.models.embedded.clear()
    new = "\n".join([*LINES[5:], "A fact that is new.", LINES[5]])
    await house.documents.update_by_text(dataset.id, document_id, DocumentText(name="notes", text=new), house.user)
    await house.work()
    after = (await house.segments.find(dataset.id, document_id, limit=100)).data
    assert [item.content for item in after] == new.split("\n")
    assert [item.position for item in after] == list(range(1, 28))
    assert all(item.id == before[item.content] for item in after[:25])
    assert len({item.id for item in after}) == 27
    assert house.models.embedded == [("A fact that is new.",)]
    assert sorted(record.id for record in await house.vectors(dataset.id)) == sorted(
        str(i.index_node_id) for i in after
    )
