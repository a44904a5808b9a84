"""The whole contract, on a search engine for tests."""

import pytest
from dify_kernel.settings import Secret
from dify_kernel.testing.vector import Proof, VectorStoreSuite
from dify_vdb_opensearch import OpenSearchSettings, OpenSearchVectorStore

SECRET = "tests-secret-0be1"


class TestContract(VectorStoreSuite):
    """Nothing is left out; the engine is a stand-in that is strict about requests."""

    @pytest.fixture
    def proof(self) -> Proof:
        return Proof("simulated", "a search engine for tests, as OpenSearch documents itself")

    @pytest.fixture
    def restart(self, server):
        return server.restart

    @pytest.fixture
    def unreachable(self) -> OpenSearchVectorStore:
        settings = OpenSearchSettings(host="127.0.0.1", port=9, user="admin", password=Secret(SECRET))
        return OpenSearchVectorStore(settings)

    @pytest.fixture
    def unauthorized(self, server) -> OpenSearchVectorStore:
        settings = OpenSearchSettings(host="127.0.0.1", port=server.port, user="admin", password=Secret(SECRET))
        return OpenSearchVectorStore(settings)

    @pytest.fixture
    def secrets(self) -> list[str]:
        return [SECRET]
