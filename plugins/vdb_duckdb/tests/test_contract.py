"""The whole contract, on a real file."""

from importlib.metadata import version

import pytest
from dify_kernel.testing.vector import Proof, VectorStoreSuite
from dify_vdb_duckdb import DuckdbSettings, DuckdbVectorStore


class TestContract(VectorStoreSuite):
    """Nothing is left out; there is no server to restart and no key to refuse."""

    @pytest.fixture
    def proof(self) -> Proof:
        return Proof("live", f"DuckDB {version('duckdb')}")

    @pytest.fixture
    def unreachable(self) -> DuckdbVectorStore:
        return DuckdbVectorStore(DuckdbSettings(duckdb_path="/dev/null/vectors.duckdb"))
