"""A store on a folder of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from dify_vdb_lancedb import LancedbSettings, LancedbVectorStore


@pytest.fixture
def settings(tmp_path: Path) -> LancedbSettings:
    return LancedbSettings(dify_data=str(tmp_path / "data"))


@pytest.fixture
async def store(settings: LancedbSettings) -> AsyncIterator[LancedbVectorStore]:
    store = LancedbVectorStore(settings)
    await store.open()
    yield store
    await store.close()
