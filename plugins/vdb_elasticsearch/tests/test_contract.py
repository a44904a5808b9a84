"""The whole contract, on another engine that speaks the protocol."""

from importlib.metadata import version

import pytest
from dify_kernel.settings import Secret
from dify_kernel.testing.vector import Proof, VectorStoreSuite
from dify_vdb_elasticsearch import ElasticsearchSettings, ElasticsearchVectorStore

SECRET = "tests-secret-51ea"


class TestContract(VectorStoreSuite):
    """The engine takes any credentials: what a refusal becomes is in `test_store`."""

    @pytest.fixture
    def proof(self) -> Proof:
        return Proof("compatible", f"noida-db {version('noida-db')}")

    @pytest.fixture
    def restart(self, server):
        return server.restart

    @pytest.fixture
    def unreachable(self) -> ElasticsearchVectorStore:
        return ElasticsearchVectorStore(ElasticsearchSettings(port=9, password=Secret(SECRET)))

    @pytest.fixture
    def secrets(self) -> list[str]:
        return [SECRET]
