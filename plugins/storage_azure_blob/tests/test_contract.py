"""The storage contract on the vendor's emulator."""

import base64

import pytest
from dify_kernel.testing.storage import Proof, StorageSuite
from dify_storage_azure_blob.plugin import open_storage

from .conftest import KEY, settings_of

WRONG = base64.b64encode(b"another key, 32 bytes long .....").decode()


@pytest.mark.live
class TestContract(StorageSuite):
    @pytest.fixture
    def proof(self, server):
        return Proof("simulated", "Azurite, the vendor's emulator")

    @pytest.fixture
    def restart(self, server):
        return server.restart

    @pytest.fixture
    def unreachable(self):
        return open_storage(settings_of(9))

    @pytest.fixture
    def unauthorized(self, server):
        return open_storage(settings_of(server.port, WRONG))

    @pytest.fixture
    def secrets(self):
        return [KEY, WRONG]
