"""Documents in question-and-answer form: a model writes the pairs, the question is embedded, the answer is kept."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa
from dify_host.knowledge.questions import read_pairs
from dify_host.knowledge.source_files import SourceFiles
from dify_host.knowledge.tables import document_questions
from dify_kernel.contracts.model import LLMDelta
from dify_kernel.errors import InvokeRateLimitError
from hypothesis import given
from hypothesis import strategies as st

from .house import House, custom_rule

WORDS = st.text(st.characters(categories=("L", "N"), include_characters=" .,?!"), min_size=1, max_size=60).filter(
    lambda text: text.strip()
)


def cards(text: str) -> str:
    """Two pairs about a text, as a model writes them."""
    return f"Q1: What is said of {text}?\nA1: {text} it is.\nQ2: And what else?\nA2: Of {text}\nnothing more."


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=9))
def test_pairs_are_read_as_they_were_written(pairs: list[tuple[str, str]]) -> None:
    text = "Here they are.\n" + "\n".join(f"Q{n}: {q}\nA{n}: {a}\n" for n, (q, a) in enumerate(pairs, 1))
    assert read_pairs(text) == [(q.strip(), a.strip()) for q, a in pairs]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Q1:x A1: y", []),
        ("**Q1:** Why?\n**A1:** Because.\n\n**Q2:** How?\n", [("Why?", "Because.")]),
        ("Q1：什么？\nA1：茶。\n第二行", [("什么？", "茶。\n第二行")]),
        ("Q1: a\nA2: b", []),
        ("", []),
    ],
)
def test_what_models_make_of_the_form(text: str, found: list[tuple[str, str]]) -> None:
    assert read_pairs(text) == found


async def test_each_chunk_gives_its_pairs_in_order(house: House) -> None:
    house.models.reply = cards
    dataset = await house.dataset()
    document_id = await house.add(dataset.id, "Tea\nCoffee", doc_form="qa_model", doc_language="French")
    page = await house.segments.find(dataset.id, document_id)
    assert [(item.content, item.answer) for item in page.data] == [
        ("What is said of Tea?", "Tea it is."),
        ("And what else?", "Of Tea\nnothing more."),
        ("What is said of Coffee?", "Coffee it is."),
        ("And what else?", "Of Coffee\nnothing more."),
    ]
    assert all(request.model == "" and "French" in request.messages[0].text for request in house.models.requests)
    assert sorted(record.text for record in await house.vectors(dataset.id)) == sorted(i.content for i in page.data)
    assert sum(len(call) for call in house.models.embedded) == 3  # what is asked twice is embedded once


async def test_no_pairs_is_an_error_that_says_so(house: House) -> None:
    house.models.reply = lambda text: "I would rather not."
    dataset = await house.dataset()
    document_id = await house.add(dataset.id, "Tea", doc_form="qa_model")
    document = await house.documents.get(dataset.id, document_id)
    assert (document.indexing_status, document.segment_count) == ("error", 0)
    assert "no questions and answers" in (document.error or "")
    assert len(house.models.requests) == 2


async def test_pairs_that_are_written_are_not_written_again(any_house: House) -> None:
    house = any_house
    dataset = await house.dataset()
    texts = [f"Tea number {number}" for number in range(30)]
    document_id = await house.queue(dataset.id, "\n".join([*texts, texts[0]]), doc_form="qa_model")
    answer, calls = house.models.llm, 0

    async def mortal(provider, request):  # type: ignore[no-untyped-def]
        nonlocal calls
        calls += 1
        if calls == 21:  # as a process that dies here
            raise asyncio.CancelledError
        async for delta in answer(provider, request):
            yield delta

    house.models.reply = cards
    house.models.llm = mortal  # type: ignore[method-assign]
    with pytest.raises(asyncio.CancelledError):
        await house.indexer.run(document_id)
    async with house.db.read() as conn:
        kept = (await conn.execute(sa.select(document_questions.c.pairs))).scalars().all()
    assert 10 < len(kept) <= 30
    await house.work()
    assert (await house.documents.get(dataset.id, document_id)).indexing_status == "completed"
    asked = [request.messages[-1].text for request in house.models.requests]
    assert set(asked) == set(texts)
    assert len(asked) <= len(texts) + 10  # what was under way when it died, and no text that is there twice
    assert len([text for text in texts if asked.count(text) > 1]) <= len(texts) - len(kept)
    found = (await house.segments.find(dataset.id, document_id, limit=100)).data
    assert [item.content for item in found[::2]] == [f"What is said of {text}?" for text in [*texts, texts[0]]]
    async with house.db.read() as conn:
        assert (await conn.execute(sa.select(document_questions))).all() == []


async def test_a_document_that_is_deleted_meanwhile_is_asked_about_no_more(any_house: House) -> None:
    house = any_house
    dataset = await house.dataset()
    text = "\n".join(f"Tea number {number}" for number in range(40))
    document_id = await house.queue(dataset.id, text, doc_form="qa_model")
    answer, calls, gone = house.models.llm, 0, asyncio.Event()

    async def deleting(provider, request):  # type: ignore[no-untyped-def]
        nonlocal calls
        calls += 1
        if calls == 15:
            await house.documents.delete(dataset.id, document_id)
            gone.set()
        elif calls > 15:
            await gone.wait()
        async for delta in answer(provider, request):
            yield delta

    house.models.reply = cards
    house.models.llm = deleting  # type: ignore[method-assign]
    await house.work()
    assert len(house.models.requests) < 40
    async with house.db.read() as conn:
        assert (await conn.execute(sa.select(document_questions))).all() == []
    assert await house.left() == []


async def test_a_preview_asks_about_the_first_text(house: House) -> None:
    house.models.reply = cards
    await house.dataset()
    upload = await SourceFiles(house.db, house.tenant, house.storage).keep_text("a", "Tea\nCoffee", house.user)
    made = await house.knowledge.estimates.files([upload], custom_rule(), "qa_model", language="French")
    assert made.total_segments == 40
    assert [item.content for item in made.preview] == ["Tea", "Coffee"]
    assert [(item.question, item.answer) for item in made.qa_preview or []] == [
        ("What is said of Tea?", "Tea it is."),
        ("And what else?", "Of Tea\nnothing more."),
    ]
    (request,) = house.models.requests
    assert "French" in request.messages[0].text


async def test_a_model_that_asks_to_slow_down_is_asked_again(house: House) -> None:
    dataset = await house.dataset()
    document_id = await house.queue(dataset.id, "Tea", doc_form="qa_model")
    answer, refusals = house.models.llm, [1, 1]

    async def limited(provider, request):  # type: ignore[no-untyped-def]
        if refusals:
            refusals.pop()
            raise InvokeRateLimitError("Slow down.", retry_after=0)
        async for delta in answer(provider, request):
            assert isinstance(delta, LLMDelta)
            yield delta

    house.models.reply = cards
    house.models.llm = limited  # type: ignore[method-assign]
    await house.work()
    assert (await house.documents.get(dataset.id, document_id)).indexing_status == "completed"


async def test_an_economy_base_takes_no_questions(house: House) -> None:
    dataset = await house.dataset(technique="economy")
    document_id = await house.add(dataset.id, "Tea", doc_form="qa_model")
    assert "need a high-quality" in ((await house.documents.get(dataset.id, document_id)).error or "")
