"""A store on a database of its own: PostgreSQL with the extension pgvector, which stands in for openGauss."""

from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
from dify_kernel.settings import Secret
from dify_kernel.testing.vector import emptied
from dify_kernel.testing.vector_database import VectorDatabase, vector_database
from dify_vdb_opengauss import OpengaussSettings, OpengaussStore

ALIKE = "CREATE FUNCTION opengauss_version() RETURNS text LANGUAGE sql AS $$SELECT '6.0.3'$$"


@pytest.fixture(scope="session")
def database() -> Iterator[VectorDatabase]:
    with vector_database() as database:
        where = {"host": "127.0.0.1", "port": database.server.port, "user": database.user, "dbname": database.database}
        with psycopg.connect(**where, password=database.password, autocommit=True) as connection:
            connection.execute(ALIKE)
        yield database


@pytest.fixture
def settings(database: VectorDatabase) -> OpengaussSettings:
    return OpengaussSettings(
        host="127.0.0.1",
        port=database.server.port,
        user=database.user,
        password=Secret(database.password),
        database=database.database,
    )


@pytest.fixture
async def store(settings: OpengaussSettings) -> AsyncIterator[OpengaussStore]:
    store = OpengaussStore(settings)
    async with emptied(store):
        yield store
