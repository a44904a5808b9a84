"""Texts that the embedding model refuses: each costs only itself, also when it is tried again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from dify_host.knowledge.errors import InvalidAction
from dify_host.knowledge.retrieval import Asker
from dify_host.knowledge.rules import read_rule
from dify_kernel.contracts.model import Embeddings
from dify_kernel.errors import InvokeBadRequestError

from .house import House
from .test_indexing import LINES, TEXT


def refuse(house: House, refused: set[str]) -> None:
    """Have the model refuse calls that hold any of these texts, as long as they are in the set."""
    embed = house.models.embed

    async def picky(provider: str, model: str, texts: Sequence[str], **options: Any) -> Embeddings:
        if refused.intersection(texts):
            raise InvokeBadRequestError("Input is too long.")
        return await embed(provider, model, texts, **options)

    house.models.embed = picky  # type: ignore[method-assign]


async def test_a_text_that_the_model_refuses_costs_only_itself(house: House) -> None:
    dataset = await house.dataset()
    document_id = await house.queue(dataset.id, TEXT)
    refuse(house, {LINES[7]})
    await house.work()
    document = await house.documents.get(dataset.id, document_id)
    assert document.indexing_status == "completed"
    why = "The embedding model refused this text: Input is too long."
    assert document.error == f"1 of 30 segments have no vector: {why}"
    (refused,) = (await house.segments.find(dataset.id, document_id, status=["error"])).data
    assert (refused.content, refused.error) == (LINES[7], why)
    assert len(await house.vectors(dataset.id)) == 29


async def test_a_retry_of_a_refused_text_takes_nothing_from_the_others(house: House) -> None:
    dataset = await house.dataset()
    document_id = await house.queue(dataset.id, TEXT)
    refused = {LINES[7]}
    refuse(house, refused)
    await house.work()
    for left in (1, 0):
        if not left:
            refused.clear()
        await house.documents.retry(dataset.id, document_id)
        await house.work()
        document = await house.documents.get(dataset.id, document_id)
        assert document.indexing_status == "completed"
        assert (document.error or "").startswith("1 of 30 segments have no vector") == bool(left)
        assert len(await house.vectors(dataset.id)) == 30 - left


async def test_a_child_that_the_model_refuses_leaves_its_parent_to_be_found(house: House) -> None:
    dataset = await house.dataset()
    inner = {"max_tokens": 100, "separator": "\n"}
    parts = {"segmentation": inner, "parent_mode": "full-doc", "subchunk_segmentation": inner}
    rule = read_rule("hierarchical", {"pre_processing_rules": [], **parts})
    document_id = await house.queue(dataset.id, TEXT, doc_form="hierarchical_model", process_rule=rule)
    refused = {LINES[7], LINES[9]}
    refuse(house, refused)
    await house.work()
    for left in (2, 1, 0):
        document = await house.documents.get(dataset.id, document_id)
        why = "The embedding model refused this text: Input is too long."
        told = f"1 of 1 segments are found in part: Child chunks without a vector: {left}. {why}" if left else None
        assert (document.indexing_status, document.error) == ("completed", told)
        assert len(await house.vectors(dataset.id)) == 30 - left
        (hit,) = await house.retriever.retrieve(dataset.id, LINES[3], Asker(user_id=house.user))
        assert hit.document.id == document_id
        if left:
            refused.pop()
            await house.documents.retry(dataset.id, document_id)
            await house.work()
    with pytest.raises(InvalidAction):
        await house.documents.retry(dataset.id, document_id)


async def test_a_model_that_refuses_everything_is_the_error_of_the_document(house: House) -> None:
    dataset = await house.dataset()
    house.models.error = InvokeBadRequestError("There is no such model.")
    document_id = await house.add(dataset.id, TEXT)
    document = await house.documents.get(dataset.id, document_id)
    assert (document.indexing_status, document.error) == ("error", "There is no such model.")
