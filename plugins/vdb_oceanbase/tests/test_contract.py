"""The whole contract, on a real engine."""

from importlib.metadata import version

import msgspec
import pytest
from dify_kernel.settings import Secret
from dify_kernel.testing.backend import Restart
from dify_kernel.testing.server import Server
from dify_kernel.testing.vector import Proof, VectorStoreSuite
from dify_vdb_oceanbase import OceanbaseSettings, OceanbaseStore

SECRET = "tests-secret-5c1e"


class TestContract(VectorStoreSuite):
    """Nothing is left out."""

    @pytest.fixture
    def proof(self, server: Server) -> Proof:
        return Proof("live", f"seekdb {version('pylibseekdb')}")

    @pytest.fixture
    def restart(self, server: Server) -> Restart:
        return server.restart

    @pytest.fixture
    def unreachable(self, settings: OceanbaseSettings) -> OceanbaseStore:
        nowhere = {"vector_host": "127.0.0.1", "vector_port": 9, "vector_password": Secret(SECRET)}
        return OceanbaseStore(msgspec.structs.replace(settings, **nowhere))

    @pytest.fixture
    def unauthorized(self, settings: OceanbaseSettings) -> OceanbaseStore:
        return OceanbaseStore(msgspec.structs.replace(settings, vector_password=Secret(SECRET)))

    @pytest.fixture
    def secrets(self) -> list[str]:
        return [SECRET]
