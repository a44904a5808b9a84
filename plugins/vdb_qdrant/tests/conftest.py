"""A store on a folder of its own, with the engine inside the vendor's client."""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from dify_vdb_qdrant import QdrantSettings, QdrantVectorStore

#: The local engine waits for the disk after every point: a folder in memory makes the suite ten times faster.
IN_MEMORY = Path("/dev/shm")


@pytest.fixture
async def store() -> AsyncIterator[QdrantVectorStore]:
    with tempfile.TemporaryDirectory(dir=IN_MEMORY if IN_MEMORY.is_dir() else None) as folder:
        store = QdrantVectorStore(QdrantSettings(url=f"path:{folder}"))
        await store.open()
        yield store
        await store.close()
