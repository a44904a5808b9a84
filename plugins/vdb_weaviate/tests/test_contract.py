"""The whole contract, on a Weaviate server for tests."""

import pytest
from dify_kernel.settings import Secret
from dify_kernel.testing.vector import Proof, VectorStoreSuite
from dify_vdb_weaviate import WeaviateSettings, WeaviateVectorStore

SECRET = "tests-secret-0be1"


class TestContract(VectorStoreSuite):
    """Nothing is left out; the server is a stand-in that is strict about requests."""

    @pytest.fixture
    def proof(self) -> Proof:
        return Proof("simulated", "a server for tests, by Weaviate's published messages")

    @pytest.fixture
    def restart(self, server):
        return server.restart

    @pytest.fixture
    def unreachable(self) -> WeaviateVectorStore:
        return WeaviateVectorStore(WeaviateSettings(endpoint="http://127.0.0.1:9", api_key=Secret(SECRET)))

    @pytest.fixture
    def unauthorized(self, server, settings) -> WeaviateVectorStore:
        return WeaviateVectorStore(settings(server, SECRET))

    @pytest.fixture
    def secrets(self) -> list[str]:
        return [SECRET]
