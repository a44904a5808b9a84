"""Indexing survives: workers are killed at random under five hundred documents, and each of them is there once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.faults.indexing import Library, add_documents, library, problems, texts, wait_for_end

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

NUMBER = 500
KILLING, PATIENCE = 45.0, 240.0


async def play(there: Library) -> list[str]:
    """Add documents while workers die, wait for the end, and look at everything."""
    contents = texts(NUMBER)
    ended = asyncio.Event()
    killing = asyncio.create_task(there.workers.kill(ended, KILLING))
    try:
        dataset_id = await add_documents(there, contents)
        done = await wait_for_end(there, dataset_id, NUMBER, PATIENCE)
    finally:
        ended.set()
        await killing
    found = await problems(there, dataset_id, contents)
    return found if done else [*found, f"not at its end after {PATIENCE:g} s"]


@pytest.mark.parametrize(("engine", "seed"), [("sqlite", 1), ("postgresql", 2)])
def test_every_document_is_indexed_once(engine: str, seed: int, tmp_path: Path) -> None:
    with library(engine, tmp_path, seed) as there:
        assert asyncio.run(play(there)) == []
        assert there.workers.kills >= 3
