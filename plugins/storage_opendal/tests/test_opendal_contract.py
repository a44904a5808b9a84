"""The storage contract on a folder, in memory, and on a real S3 server."""

import pytest
from dify_kernel.testing.storage import StorageSuite


class TestFolder(StorageSuite):
    @pytest.fixture
    async def storage(self, make, tmp_path):
        async with make("fs", root=str(tmp_path / "objects")) as storage:
            yield storage


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
