"""The whole contract, against an index for tests that is written from the documents of Upstash."""

import pytest
from dify_kernel.settings import Secret
from dify_kernel.testing.backend import Restart
from dify_kernel.testing.server import Server
from dify_kernel.testing.vector import Proof, VectorStoreSuite
from dify_vdb_upstash import UpstashSettings, UpstashVectorStore

SECRET = "tests-secret-7d25"


class TestContract(VectorStoreSuite):
    @pytest.fixture
    def proof(self) -> Proof:
        return Proof("simulated", "an index for tests, as Upstash documents itself")

    @pytest.fixture
    def restart(self, server: Server) -> Restart:
        return server.restart

    @pytest.fixture
    def unreachable(self) -> UpstashVectorStore:
        return UpstashVectorStore(UpstashSettings(url="http://127.0.0.1:9", token=Secret(SECRET)))

    @pytest.fixture
    def unauthorized(self, server: Server) -> UpstashVectorStore:
        return UpstashVectorStore(UpstashSettings(url=f"http://127.0.0.1:{server.port}", token=Secret(SECRET)))

    @pytest.fixture
    def secrets(self) -> list[str]:
        return [SECRET]
