"""The end of a pipeline: chunks of every structure are found when it returns, and what goes wrong is told and kept."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id
from dify_host.knowledge.datasets import NewDataset
from dify_host.knowledge.errors import DocumentIndexing, InvalidAction
from dify_host.knowledge.records import Document
from dify_host.knowledge.repository import KnowledgeRepository
from dify_host.knowledge.retrieval import Asker
from dify_host.knowledge.source_files import SourceFiles
from dify_host.knowledge.tables import documents, segment_attachment_bindings
from dify_kernel.contracts.ports import IndexChunk, IndexedDocument, Indexing, KnowledgePort, Retrieval
from dify_kernel.errors import BadInput, NotFound
from dify_kernel.graph.values import File

from .house import MODEL, House

TEXTS = [IndexChunk(content="Tea is green"), IndexChunk(content="Coffee is black")]


def port(house: House) -> KnowledgePort:
    found: KnowledgePort = house.runtime(Asker(user_id=house.user, source="app", app_id=new_id()))
    return found


async def document(house: House, dataset_id: str, **values: Any) -> str:
    """A document as the start of a pipeline run makes it."""
    row = {
        "id": new_id(),
        "dataset_id": dataset_id,
        "position": 1,
        "data_source_type": "local_file",
        "data_source_info": {"related_id": new_id()},
        "batch": "b-1",
        "name": "drinks.txt",
        "created_from": "rag-pipeline",
        "created_by": house.user,
    }
    async with house.db.write() as conn:
        await conn.execute(house.rows.scoped_insert(documents, row | values))
    return str(row["id"])


async def row(house: House, dataset_id: str, document_id: str) -> Document:
    async with house.db.read() as conn:
        return await house.rows.document(conn, dataset_id, document_id)


async def prepared(house: House, technique: str | None = "high_quality", **values: Any) -> Indexing:
    """A knowledge base with a document, and two texts for it."""
    dataset = await house.dataset("Drinks", technique)
    document_id = await document(house, dataset.id, **values)
    return Indexing(dataset_id=dataset.id, document_id=document_id, batch="b-1", chunks=TEXTS)


async def found(house: House, request: Indexing, query: str) -> list[dict[str, Any]]:
    return await port(house).retrieve(Retrieval(query=query, dataset_ids=[request.dataset_id], top_k=5))


@pytest.mark.parametrize("technique", ["high_quality", "economy"])
async def test_texts_are_found_when_it_returns(any_house: House, technique: str) -> None:
    house = any_house
    request = await prepared(house, technique)
    answer = await port(house).index(request)
    ended = await row(house, request.dataset_id, request.document_id)
    assert answer == IndexedDocument(
        dataset_id=request.dataset_id,
        dataset_name="Drinks",
        document_id=request.document_id,
        document_name="drinks.txt",
        batch="b-1",
        created_at=ended.created_at.timestamp(),
    )
    assert (await found(house, request, "tea"))[0]["content"] == "Tea is green"
    assert (ended.indexing_status, ended.doc_form, ended.word_count) == ("completed", "text_model", 27)
    assert await house.tasks() == []


async def test_questions_are_found_and_tell_their_answers(house: House) -> None:
    request = await prepared(house)
    pairs = [IndexChunk(content="What is tea?", answer="A drink")]
    await port(house).index(msgspec.structs.replace(request, chunk_structure="qa_model", chunks=pairs))
    [piece] = await found(house, request, "tea")
    assert piece["content"] == "question:What is tea? \nanswer:A drink"


async def test_children_are_found_and_give_their_parents(house: House) -> None:
    request = await prepared(house)
    parents = [IndexChunk(content="All about tea and coffee", children=["tea is green", "coffee is black"])]
    await port(house).index(msgspec.structs.replace(request, chunk_structure="hierarchical_model", chunks=parents))
    [piece] = await found(house, request, "green tea")
    assert piece["content"] == "All about tea and coffee"
    assert piece["metadata"]["child_chunks"][0]["content"] == "tea is green"
    assert len(await house.vectors(request.dataset_id)) == 2


async def test_indexing_again_replaces(house: House) -> None:
    request = await prepared(house)
    await port(house).index(request)
    await port(house).index(msgspec.structs.replace(request, chunks=[IndexChunk(content="Milk is white")]))
    assert [record.text for record in await house.vectors(request.dataset_id)] == ["Milk is white"]
    segments = await house.segments.find(request.dataset_id, request.document_id)
    assert [(item.content, item.status) for item in segments.data] == [("Milk is white", "completed")]


async def test_an_empty_knowledge_base_gets_what_the_pipeline_says(house: House) -> None:
    request = await prepared(house, None)
    with pytest.raises(BadInput, match="indexing_technique is required"):
        await port(house).index(request)
    settings = {
        "indexing_technique": "high_quality",
        "embedding_model": MODEL,
        "embedding_model_provider": "fake",
        "retrieval_model": {"search_method": "semantic_search", "top_k": 7},
    }
    await port(house).index(msgspec.structs.replace(request, **settings))
    dataset = await house.datasets.get(request.dataset_id)
    assert (dataset.indexing_technique, dataset.embedding_model, dataset.chunk_structure) == (
        "high_quality",
        MODEL,
        "text_model",
    )
    assert dataset.retrieval_model_dict["top_k"] == 7
    assert len(await house.vectors(request.dataset_id)) == 2
    with pytest.raises(BadInput, match="the knowledge base is of text_model"):
        await port(house).index(msgspec.structs.replace(request, chunk_structure="qa_model"))


async def test_questions_need_high_quality(house: House) -> None:
    request = msgspec.structs.replace(await prepared(house, "economy"), chunk_structure="qa_model")
    with pytest.raises(BadInput, match="high-quality"):
        await port(house).index(request)
    assert (await row(house, request.dataset_id, request.document_id)).indexing_status == "waiting"


async def test_what_is_not_the_tenants_is_not_there(house: House) -> None:
    request = await prepared(house)
    other = House(house.db, house.stores)
    with pytest.raises(NotFound):
        await port(other).index(request)
    theirs = await other.datasets.create(NewDataset(name="Theirs", indexing_technique="economy"), other.user)
    for change in ({"dataset_id": theirs.id}, {"document_id": new_id()}, {"batch": "b-2"}):
        with pytest.raises(NotFound):
            await port(house).index(msgspec.structs.replace(request, **change))
    assert await found(house, request, "tea") == []


async def test_a_paused_document_waits(house: House) -> None:
    request = await prepared(house, is_paused=True)
    with pytest.raises(InvalidAction):
        await port(house).index(request)


async def test_a_model_that_fails_is_told_and_stands_in_the_document(house: House) -> None:
    request = await prepared(house)
    house.models.error = BadInput("The model is on strike.")
    with pytest.raises(BadInput, match="on strike"):
        await port(house).index(request)
    ended = await row(house, request.dataset_id, request.document_id)
    assert (ended.indexing_status, ended.error) == ("error", "The model is on strike.")
    house.models.error = None
    await port(house).index(request)
    assert (await row(house, request.dataset_id, request.document_id)).error is None


class Waiting:
    """A model that never answers, and says when it was asked."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.asked = asyncio.Event()

    async def describe(self, *args: Any) -> Any:
        return await self._house.models.describe(*args)

    async def embed(self, *args: Any, **options: Any) -> Any:
        self.asked.set()
        await asyncio.Event().wait()


async def test_a_run_that_is_let_go_leaves_the_document_to_the_one_that_goes_on(house: House) -> None:
    request = await prepared(house)
    slow = Waiting(house)
    knowledge = msgspec.structs.replace(house.knowledge, models=slow)
    task = asyncio.create_task(knowledge.runtime(Asker(user_id=house.user)).index(request))
    await slow.asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    left = await row(house, request.dataset_id, request.document_id)
    assert (left.indexing_status, left.error) == ("indexing", None)
    await port(house).index(request)
    assert (await row(house, request.dataset_id, request.document_id)).indexing_status == "completed"


class Pausing(Waiting):
    """A model during whose call somebody pauses the document."""

    def __init__(self, house: House, request: Indexing) -> None:
        super().__init__(house)
        self._request = request

    async def embed(self, *args: Any, **options: Any) -> Any:
        await self._house.documents.pause(self._request.dataset_id, self._request.document_id, self._house.user)
        return await self._house.models.embed(*args, **options)


async def test_a_document_that_is_paused_meanwhile_stops_the_run(house: House) -> None:
    request = await prepared(house)
    knowledge = msgspec.structs.replace(house.knowledge, models=Pausing(house, request))
    with pytest.raises(DocumentIndexing, match="paused or deleted meanwhile"):
        await knowledge.runtime(Asker(user_id=house.user)).index(request)
    assert (await row(house, request.dataset_id, request.document_id)).indexing_status == "indexing"


async def test_uploads_of_the_tenant_are_attached_and_others_left_out(house: House) -> None:
    request = await prepared(house)
    upload = await SourceFiles(house.db, house.tenant, house.storage).keep_text("a", "text", house.user)
    stranger = await SourceFiles(house.db, Tenant(new_id()), house.storage).keep_text("b", "text", house.user)
    files = [File(related_id=upload), File(related_id=stranger), File(related_id=upload)]
    await port(house).index(msgspec.structs.replace(request, chunks=[IndexChunk(content="Tea", files=files)]))
    repository = KnowledgeRepository(house.db, house.tenant)
    column = segment_attachment_bindings.c.attachment_id
    async with house.db.read() as conn:
        held = (await conn.execute(repository.scoped_select(segment_attachment_bindings, column))).scalars().all()
        total = (await conn.execute(sa.select(sa.func.count()).select_from(segment_attachment_bindings))).scalar_one()
    assert (list(held), total) == ([upload], 1)
