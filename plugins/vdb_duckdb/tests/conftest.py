"""A store on a file of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from dify_vdb_duckdb import DuckdbSettings, DuckdbVectorStore


@pytest.fixture
def settings(tmp_path: Path) -> DuckdbSettings:
    return DuckdbSettings(dify_data=str(tmp_path / "data"))


@pytest.fixture
async def store(settings: DuckdbSettings) -> AsyncIterator[DuckdbVectorStore]:
    store = DuckdbVectorStore(settings)
    await store.open()
    yield store
    await store.close()
