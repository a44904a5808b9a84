"""The whole contract, on the real engine."""

from importlib.metadata import version

import pytest
from dify_kernel.settings import Secret
from dify_kernel.testing.backend import Restart
from dify_kernel.testing.server import Server
from dify_kernel.testing.vector import Proof, VectorStoreSuite
from dify_vdb_milvus import MilvusSettings, MilvusVectorStore

SECRET = "tests-secret-35fa"

pytestmark = pytest.mark.live


class TestContract(VectorStoreSuite):
    """Milvus Lite asks for no credentials."""

    @pytest.fixture
    def proof(self, server: Server) -> Proof:
        return Proof("live", f"Milvus Lite {version('milvus-lite')}")

    @pytest.fixture
    def restart(self, server: Server) -> Restart:
        return server.restart

    @pytest.fixture
    def unreachable(self) -> MilvusVectorStore:
        return MilvusVectorStore(MilvusSettings(uri="http://127.0.0.1:9", token=Secret(SECRET)))

    @pytest.fixture
    def secrets(self) -> list[str]:
        return [SECRET]
