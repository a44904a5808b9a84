"""A store on a database of its own: a real PostgreSQL with the extension, from a wheel."""

from collections.abc import AsyncIterator, Iterator

import pytest
from dify_kernel.settings import Secret
from dify_kernel.testing.vector import emptied
from dify_kernel.testing.vector_database import VectorDatabase, vector_database
from dify_vdb_pgvector import PgvectorSettings, PgvectorStore


@pytest.fixture(scope="session")
def database() -> Iterator[VectorDatabase]:
    with vector_database() as database:
        yield database


@pytest.fixture
def settings(database: VectorDatabase) -> PgvectorSettings:
    return PgvectorSettings(
        host="127.0.0.1",
        port=database.server.port,
        user=database.user,
        password=Secret(database.password),
        database=database.database,
    )


@pytest.fixture
async def store(settings: PgvectorSettings) -> AsyncIterator[PgvectorStore]:
    store = PgvectorStore(settings)
    async with emptied(store):
        yield store
