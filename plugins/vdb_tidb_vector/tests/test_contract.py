"""The whole contract, on a simulated server that checks what it is asked."""

import msgspec
import pytest
from dify_kernel.settings import Secret
from dify_kernel.testing.backend import Restart
from dify_kernel.testing.server import Server
from dify_kernel.testing.vector import Proof, VectorStoreSuite
from dify_vdb_tidb_vector import TidbVectorSettings, TidbVectorStore

SECRET = "tests-secret-7d04"


class TestContract(VectorStoreSuite):
    """Nothing is left out."""

    @pytest.fixture
    def proof(self) -> Proof:
        return Proof("simulated", "a server for tests, as TiDB documents itself")

    @pytest.fixture
    def restart(self, server: Server) -> Restart:
        return server.restart

    @pytest.fixture
    def unreachable(self, settings: TidbVectorSettings) -> TidbVectorStore:
        return TidbVectorStore(msgspec.structs.replace(settings, port=9, password=Secret(SECRET)))

    @pytest.fixture
    def unauthorized(self, settings: TidbVectorSettings) -> TidbVectorStore:
        return TidbVectorStore(msgspec.structs.replace(settings, password=Secret(SECRET)))

    @pytest.fixture
    def secrets(self) -> list[str]:
        return [SECRET]
