"""Segments from CSV files, attachments, and segments of documents in question-and-answer form."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator

import pytest
from dify_host.db.types import new_id
from dify_host.knowledge.errors import UnsupportedFileType
from dify_host.knowledge.links import Links
from dify_host.knowledge.patience import Patience
from dify_host.knowledge.segment_import import SegmentImport, SegmentImporter, read_rows
from dify_host.knowledge.segments import NewSegment, SegmentChanges
from dify_host.knowledge.tasks import IMPORT, Tasks
from dify_kernel.errors import BadInput, InvokeAuthorizationError, NotFound
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from .house import House
from .test_questions import cards

CELLS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=30).filter(lambda t: t.strip())


async def upload(house: House, text: str, name: str = "rows.csv") -> str:
    """An uploaded file; its id."""
    upload_id = new_id()
    await house.storage.open()
    await house.storage.save(f"k/{upload_id}", text.encode())
    values = {"id": upload_id, "storage_type": "", "key": f"k/{upload_id}", "name": name, "size": len(text)}
    values |= {"extension": name.rpartition(".")[2], "mime_type": "text/csv", "created_by": house.user}
    async with house.db.write() as conn:
        await Links(house.db, house.tenant).add_upload(conn, values)
    return upload_id


@pytest.fixture
async def importing(house: House, redis_url: str) -> AsyncIterator[SegmentImport]:
    """Imports of the house, and their job among its jobs."""
    redis = Redis.from_url(redis_url)
    importer = SegmentImporter(
        house.db,
        house.storage,
        house.stores,
        lambda tenant: house.models,
        redis,
        patience=Patience(pause=0, attempts=2),
    )
    house.handlers[IMPORT] = importer.task
    yield SegmentImport(house.rows, Tasks(house.db, house.tenant), Links(house.db, house.tenant), redis)
    await redis.aclose()


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=8))
def test_rows_are_read_as_they_were_written(rows: list[tuple[str, str]]) -> None:
    out = io.StringIO(newline="")
    csv.writer(out).writerows([("question", "answer"), *rows])
    found = read_rows(out.getvalue().encode(), "qa_model")
    assert [(item.content, item.answer) for item in found] == [(a.strip(), b.strip()) for a, b in rows]
    assert [item.answer for item in read_rows(out.getvalue().encode(), "text_model")] == [None] * len(rows)


@pytest.mark.parametrize("text", ["", "content\n", "content\n\n,x\n"])
def test_a_file_without_rows_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="empty"):
        read_rows(text.encode(), "text_model")


def test_a_question_without_an_answer_is_named() -> None:
    with pytest.raises(BadInput, match="Line 3"):
        read_rows(b"q,a\nWhy?,Because.\nHow?\n", "qa_model")


async def test_rows_become_segments_behind_those_that_are_there(house: House, importing: SegmentImport) -> None:
    dataset = await house.dataset()
    document_id = await house.add(dataset.id, "Tea is green")
    rows = [f"Row {number}" for number in range(250)]
    file = await upload(house, "\n".join(["content", *rows]))
    job = await importing.begin(dataset.id, document_id, file, house.user)
    assert (job.job_status, (await importing.status(job.job_id)).job_status) == ("waiting", "waiting")
    await house.work()
    assert (await importing.status(job.job_id)).job_status == "completed"
    found = [
        item
        for page in (1, 2, 3)
        for item in (await house.segments.find(dataset.id, document_id, page=page, limit=100)).data
    ]
    assert [item.content for item in found] == ["Tea is green", *rows]
    assert {item.status for item in found} == {"completed"}
    assert {record.id for record in await house.vectors(dataset.id)} == {item.index_node_id for item in found}


async def test_an_import_that_is_done_again_adds_nothing_twice(house: House, importing: SegmentImport) -> None:
    dataset = await house.dataset()
    document_id = await house.add(dataset.id, "Tea is green")
    job = await importing.begin(dataset.id, document_id, await upload(house, "content\nA\nB\n"), house.user)
    async with house.db.read() as conn:
        task = (await Tasks(house.db, house.tenant).of(conn, IMPORT, [job.job_id]))[job.job_id]
    for _ in range(2):
        await house.handlers[IMPORT](task, 0)
    page = await house.segments.find(dataset.id, document_id)
    assert [item.content for item in page.data] == ["Tea is green", "A", "B"]


async def test_an_import_that_fails_says_why(house: House, importing: SegmentImport) -> None:
    dataset = await house.dataset()
    document_id = await house.add(dataset.id, "Tea is green")
    job = await importing.begin(dataset.id, document_id, await upload(house, "content\nA\n"), house.user)
    house.models.error = InvokeAuthorizationError("The key is wrong.")
    await house.work()
    status = await importing.status(job.job_id)
    assert (status.job_status, status.error) == ("error", "The key is wrong.")
    with pytest.raises(NotFound):
        await importing.status(new_id())
    with pytest.raises(UnsupportedFileType):
        await importing.begin(dataset.id, document_id, await upload(house, "x", "a.txt"), house.user)


async def test_questions_are_added_with_their_answers(house: House) -> None:
    house.models.reply = cards
    dataset = await house.dataset()
    document_id = await house.add(dataset.id, "Tea", doc_form="qa_model")
    with pytest.raises(BadInput, match="Answer is required"):
        await house.segments.create(dataset.id, document_id, [NewSegment(content="Why?")], house.user)
    new = NewSegment(content="Why?", answer="Because.")
    (made,) = await house.segments.create(dataset.id, document_id, [new], house.user)
    assert (made.status, made.answer) == ("completed", "Because.")
    assert "Why?" in {record.text for record in await house.vectors(dataset.id)}


async def test_attachments_are_kept_and_shown(house: House) -> None:
    dataset = await house.dataset()
    document_id = await house.add(dataset.id, "Tea is green")
    files = [await upload(house, "x", f"{n}.png") for n in range(2)]
    new = NewSegment(content="See the picture", attachment_ids=[files[0], files[0]])
    (made,) = await house.segments.create(dataset.id, document_id, [new], house.user)
    assert [item["id"] for item in made.attachments] == [files[0]]
    changes = SegmentChanges(attachment_ids=files[::-1])
    changed = await house.segments.update(dataset.id, document_id, made.id, changes, house.user)
    assert [item["name"] for item in changed.attachments] == ["1.png", "0.png"]
    with pytest.raises(NotFound):
        await house.segments.update(
            dataset.id, document_id, made.id, SegmentChanges(attachment_ids=[new_id()]), house.user
        )
    many = SegmentChanges(attachment_ids=[new_id() for _ in range(11)])
    with pytest.raises(BadInput, match="10"):
        await house.segments.update(dataset.id, document_id, made.id, many, house.user)
