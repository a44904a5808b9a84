"""The storage contract on a simulator of the vendor's protocol."""

import pytest
from dify_kernel.testing.storage import Proof, StorageSuite
from dify_storage_aliyun_oss.plugin import open_storage

from .conftest import settings_of
from .simulator import SECRET


@pytest.mark.live
class TestContract(StorageSuite):
    @pytest.fixture
    def proof(self, server):
        return Proof("simulated", "a server of the tests that checks the vendor's signatures")

    @pytest.fixture
    def restart(self, server):
        return server.restart

    @pytest.fixture
    def unreachable(self):
        return open_storage(settings_of(9))

    @pytest.fixture
    def unauthorized(self, server):
        return open_storage(settings_of(server.port, "not-the-secret"))

    @pytest.fixture
    def secrets(self):
        return [SECRET, "not-the-secret"]
