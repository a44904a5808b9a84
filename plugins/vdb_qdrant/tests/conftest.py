"""A store on a folder of its own, with the engine inside the vendor's client."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from dify_vdb_qdrant import QdrantSettings, QdrantVectorStore


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[QdrantVectorStore]:
    store = QdrantVectorStore(QdrantSettings(url=f"path:{tmp_path / 'qdrant'}"))
    await store.open()
    yield store
    await store.close()
