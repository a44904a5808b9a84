"""The whole contract, on another engine with the same protocol."""

import msgspec
import pytest
from dify_kernel.settings import Secret
from dify_kernel.testing.backend import Restart
from dify_kernel.testing.vector import Proof, VectorStoreSuite
from dify_kernel.testing.vector_database import VectorDatabase
from dify_vdb_vastbase import VastbaseSettings, VastbaseStore

SECRET = "tests-secret-81c0"


class TestContract(VectorStoreSuite):
    """Nothing is left out."""

    @pytest.fixture
    def proof(self, database: VectorDatabase) -> Proof:
        return Proof("compatible", f"PostgreSQL {database.version} with pgvector {database.extension}")

    @pytest.fixture
    def restart(self, database: VectorDatabase) -> Restart:
        return database.server.restart

    @pytest.fixture
    def unreachable(self, settings: VastbaseSettings) -> VastbaseStore:
        return VastbaseStore(msgspec.structs.replace(settings, port=9, password=Secret(SECRET)))

    @pytest.fixture
    def unauthorized(self, settings: VastbaseSettings) -> VastbaseStore:
        return VastbaseStore(msgspec.structs.replace(settings, password=Secret(SECRET)))

    @pytest.fixture
    def secrets(self) -> list[str]:
        return [SECRET]
