"""A store on a database of its own: PostgreSQL with the extension pgvector, which stands in for Vastbase."""

from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest
from dify_kernel.settings import Secret
from dify_kernel.testing.vector import emptied
from dify_kernel.testing.vector_database import VectorDatabase, vector_database
from dify_vdb_vastbase import VastbaseSettings, VastbaseStore

#: The form that the vendor documents.
VERSION = """
 (Vastbase G100 V2.2 (Build 11) Alpha) compiled at 2022-10-25 14:51:16 commit 9913 last mr
  product name:Vastbase G100
  version:V2.2 (Build 11) Alpha
  patch:0
  commit:9913
  openGauss version:3.0.1
  host:x86_64-pc-linux-gnu"""
ALIKE = (
    "ALTER TYPE vector RENAME TO floatvector",
    "ALTER OPERATOR CLASS vector_cosine_ops USING hnsw RENAME TO floatvector_cosine_ops",
    f"CREATE FUNCTION vb_version() RETURNS text LANGUAGE sql AS $$SELECT '{VERSION}'$$",
)


@pytest.fixture(scope="session")
def database() -> Iterator[VectorDatabase]:
    with vector_database() as database:
        where = {"host": "127.0.0.1", "port": database.server.port, "user": database.user, "dbname": database.database}
        with psycopg.connect(**where, password=database.password, autocommit=True) as connection:
            for statement in ALIKE:
                connection.execute(statement)
        yield database


@pytest.fixture
def settings(database: VectorDatabase) -> VastbaseSettings:
    return VastbaseSettings(
        host="127.0.0.1",
        port=database.server.port,
        user=database.user,
        password=Secret(database.password),
        database=database.database,
    )


@pytest.fixture
async def store(settings: VastbaseSettings) -> AsyncIterator[VastbaseStore]:
    store = VastbaseStore(settings)
    async with emptied(store):
        yield store
