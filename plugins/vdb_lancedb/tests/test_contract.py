"""The whole contract, on real tables."""

from importlib.metadata import version

import pytest
from dify_kernel.testing.vector import Proof, VectorStoreSuite
from dify_vdb_lancedb import LancedbSettings, LancedbVectorStore


class TestContract(VectorStoreSuite):
    """Nothing is left out; there is no server to restart and no key to refuse."""

    @pytest.fixture
    def proof(self) -> Proof:
        return Proof("live", f"LanceDB {version('lancedb')}")

    @pytest.fixture
    def unreachable(self) -> LancedbVectorStore:
        return LancedbVectorStore(LancedbSettings(lancedb_uri="/dev/null/tables"))
