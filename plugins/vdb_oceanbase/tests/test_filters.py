"""The dialect's conditions, asked of a real engine: they mean what the definition means."""

import msgspec
import pytest
from dify_kernel.contracts.vector_tokens import metadata_tokens
from dify_kernel.families.sql_dialect import to_sql
from dify_kernel.testing.vector.sql_conditions import SqlConditionsSuite
from dify_vdb_oceanbase import OceanbaseStore

from .conftest import PASSWORD, socket_of

DIALECT = OceanbaseStore.dialect


@pytest.fixture(scope="module")
def ask(server):
    """Whether a condition holds for a row of metadata."""
    import pymysql

    address = {"unix_socket": socket_of(server), "user": "dify", "password": PASSWORD, "database": "vectors"}
    with pymysql.connect(**address, autocommit=True, init_command=OceanbaseStore.session) as connection:
        cursor = connection.cursor()
        columns = "id INTEGER PRIMARY KEY, metadata LONGTEXT NOT NULL, tokens LONGTEXT NOT NULL"
        cursor.execute(f"CREATE TABLE filtered ({columns}) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin")

        def holds(filter, metadata):
            condition, values = to_sql(DIALECT, filter)
            row = [msgspec.json.encode(metadata).decode(), DIALECT.tokens(metadata_tokens(metadata))]
            cursor.execute("REPLACE INTO filtered VALUES (1, %s, %s)", row)
            # Without a name the column has the condition's, which the engine cuts within a character.
            cursor.execute(f"SELECT ({condition}) AS told FROM filtered", values)
            ((told,),) = cursor.fetchall()
            cursor.execute(f"SELECT id FROM filtered WHERE {condition}", values)
            assert told in (0, 1), "a condition is true or false, never NULL"
            assert len(cursor.fetchall()) == told
            return bool(told)

        yield holds
        cursor.execute("DROP TABLE filtered")


class TestConditions(SqlConditionsSuite):
    dialect = DIALECT
