"""The whole contract, on a real server."""

from importlib.metadata import version

import pytest
from dify_kernel.settings import Secret
from dify_kernel.testing.backend import Restart
from dify_kernel.testing.server import Server
from dify_kernel.testing.vector import Proof, VectorStoreSuite
from dify_vdb_chroma import ChromaSettings, ChromaVectorStore

SECRET = "tests-secret-90b7"

pytestmark = pytest.mark.live


class TestContract(VectorStoreSuite):
    """The server asks for no key: who it would refuse is tried in test_store.py."""

    @pytest.fixture
    def proof(self, server: Server) -> Proof:
        return Proof("live", f"Chroma {version('chromadb')}")

    @pytest.fixture
    def restart(self, server: Server) -> Restart:
        return server.restart

    @pytest.fixture
    def unreachable(self) -> ChromaVectorStore:
        return ChromaVectorStore(
            ChromaSettings(host="127.0.0.1", port=9, auth_provider="token", auth_credentials=Secret(SECRET))
        )

    @pytest.fixture
    def secrets(self) -> list[str]:
        return [SECRET]
