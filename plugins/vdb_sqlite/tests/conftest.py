"""A store on a file of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from dify_vdb_sqlite import SqliteVectorSettings, SqliteVectorStore


@pytest.fixture
def settings(tmp_path: Path) -> SqliteVectorSettings:
    return SqliteVectorSettings(dify_data=str(tmp_path / "data"))


@pytest.fixture
async def store(settings: SqliteVectorSettings) -> AsyncIterator[SqliteVectorStore]:
    store = SqliteVectorStore(settings)
    await store.open()
    yield store
    await store.close()
