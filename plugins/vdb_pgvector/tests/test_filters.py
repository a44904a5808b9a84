"""The dialect's conditions, asked of a real server: they mean what the definition means."""

import msgspec
import psycopg
import pytest
from dify_kernel.contracts.vector_tokens import metadata_tokens
from dify_kernel.families.sql_dialect import to_sql
from dify_kernel.testing.vector.sql_conditions import SqlConditionsSuite
from dify_vdb_pgvector import PgvectorStore

DIALECT = PgvectorStore.dialect


@pytest.fixture(scope="module")
def ask(database):
    """Whether a condition holds for a row of metadata."""
    where = {"host": "127.0.0.1", "port": database.server.port, "user": database.user, "password": database.password}
    with psycopg.connect(**where, dbname=database.database, autocommit=True, prepare_threshold=None) as connection:

        def holds(filter, metadata):
            condition, values = to_sql(DIALECT, filter)
            row = [msgspec.json.encode(metadata).decode(), DIALECT.tokens(metadata_tokens(metadata))]
            source = "(SELECT %s::json AS metadata, %s::uuid[] AS tokens) AS row"
            return connection.execute(f"SELECT {condition} FROM {source}", [*values, *row]).fetchone()[0]

        yield holds


class TestConditions(SqlConditionsSuite):
    dialect = DIALECT
