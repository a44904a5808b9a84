"""The whole contract, on a search engine for tests."""

import pytest
from dify_kernel.settings import Secret
from dify_kernel.testing.vector import Proof, VectorStoreSuite
from dify_vdb_huawei_cloud import HuaweiCloudSettings, HuaweiCloudVectorStore

SECRET = "tests-secret-77c2"


class TestContract(VectorStoreSuite):
    """Nothing is left out; the engine is a stand-in that is strict about requests."""

    @pytest.fixture
    def proof(self) -> Proof:
        return Proof("simulated", "a search engine for tests, as Huawei Cloud documents itself")

    @pytest.fixture
    def restart(self, server):
        return server.restart

    @pytest.fixture
    def unreachable(self) -> HuaweiCloudVectorStore:
        settings = HuaweiCloudSettings(hosts="http://127.0.0.1:9", user="admin", password=Secret(SECRET))
        return HuaweiCloudVectorStore(settings)

    @pytest.fixture
    def unauthorized(self, server) -> HuaweiCloudVectorStore:
        settings = HuaweiCloudSettings(hosts=f"http://127.0.0.1:{server.port}", user="admin", password=Secret(SECRET))
        return HuaweiCloudVectorStore(settings)

    @pytest.fixture
    def secrets(self) -> list[str]:
        return [SECRET]
