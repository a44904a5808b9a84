"""The whole contract, on a search engine for tests."""

import pytest
from dify_kernel.settings import Secret
from dify_kernel.testing.vector import Proof, VectorStoreSuite
from dify_vdb_lindorm import LindormSettings, LindormVectorStore

SECRET = "tests-secret-d10e"


class TestContract(VectorStoreSuite):
    """Nothing is left out; the engine is a stand-in that is strict about requests."""

    @pytest.fixture
    def proof(self) -> Proof:
        return Proof("simulated", "a search engine for tests, as Lindorm documents itself")

    @pytest.fixture
    def restart(self, server):
        return server.restart

    @pytest.fixture
    def unreachable(self) -> LindormVectorStore:
        settings = LindormSettings(url="http://127.0.0.1:9", username="admin", password=Secret(SECRET))
        return LindormVectorStore(settings)

    @pytest.fixture
    def unauthorized(self, server) -> LindormVectorStore:
        settings = LindormSettings(url=f"http://127.0.0.1:{server.port}", username="admin", password=Secret(SECRET))
        return LindormVectorStore(settings)

    @pytest.fixture
    def secrets(self) -> list[str]:
        return [SECRET]
