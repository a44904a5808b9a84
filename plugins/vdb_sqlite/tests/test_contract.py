"""The whole contract, on a real file."""

import pytest
from dify_kernel.testing.vector import Proof, VectorStoreSuite
from dify_vdb_sqlite import SqliteVectorSettings, SqliteVectorStore


class TestContract(VectorStoreSuite):
    """Nothing is left out; there is no server to restart and no key to refuse."""

    @pytest.fixture
    def proof(self) -> Proof:
        import apsw
        import sqlite_vec

        return Proof("live", f"SQLite {apsw.sqlite_lib_version()} + sqlite-vec {sqlite_vec.__version__}")

    @pytest.fixture
    def unreachable(self) -> SqliteVectorStore:
        return SqliteVectorStore(SqliteVectorSettings(sqlite_vec_path="/dev/null/vectors.db"))
