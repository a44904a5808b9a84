"""A worker is killed again and again: the document ends with every segment once, and a vector for each."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest
from dify_host.db.engine import Database
from dify_kernel.registry import Registry

from .house import House, embedded_stores

SCRIPT = Path(__file__).with_name("crash_run.py")
LINES = [f"Fact number {n}: the code of room {n} is {n * 37}." for n in range(40)]


async def run(*arguments: str) -> int:
    process = await asyncio.create_subprocess_exec(sys.executable, str(SCRIPT), *arguments)
    return await process.wait()


@pytest.mark.skipif("sqlite" not in Registry().names("vdb"), reason="needs a store that survives the process")
async def test_killed_between_batches_nothing_is_lost_or_doubled(
    sqlite_database: Database, sqlite_url: str, tmp_path: Path
) -> None:
    text = "\n".join(LINES)
    async with embedded_stores(Registry(), tmp_path) as stores:
        house = House(sqlite_database, stores)
        dataset = await house.dataset()
        document_id = await house.queue(dataset.id, text)
        arguments = (sqlite_url, str(tmp_path / "vectors.db"), document_id, text)
        progress = []
        for calls in (0, 2, 5, 5):  # batches of four texts, four batches side by side
            assert await run(*arguments, str(calls)) == -signal.SIGKILL
            done = await house.segments.find(dataset.id, document_id, status=["completed"], limit=100)
            progress.append(done.total)
        assert progress == [0, 0, 16, 32]
        assert await run(*arguments, "1000") == 0
        document = await house.documents.get(dataset.id, document_id)
        assert (document.indexing_status, document.segment_count) == ("completed", len(LINES))
        segments = (await house.segments.find(dataset.id, document_id, limit=100)).data
        assert [item.content for item in segments] == LINES
        records = await house.vectors(dataset.id)
        assert sorted(record.id for record in records) == sorted(str(item.index_node_id) for item in segments)
