"""The whole contract, on the client's local engine."""

from importlib.metadata import version

import pytest
from dify_kernel.settings import Secret
from dify_kernel.testing.vector import Proof, VectorStoreSuite
from dify_vdb_qdrant import QdrantSettings, QdrantVectorStore

SECRET = "tests-secret-4e2a"


class TestContract(VectorStoreSuite):
    """Nothing is left out; the local engine has no server to restart and no key to refuse."""

    @pytest.fixture
    def proof(self) -> Proof:
        return Proof("simulated", f"the local engine of qdrant-client {version('qdrant-client')}")

    @pytest.fixture
    def unreachable(self) -> QdrantVectorStore:
        return QdrantVectorStore(QdrantSettings(url="http://127.0.0.1:9", api_key=Secret(SECRET)))

    @pytest.fixture
    def secrets(self) -> list[str]:
        return [SECRET]
