"""The storage contract on a folder and in memory."""

from importlib.metadata import version

import pytest
from dify_kernel.testing.storage import Proof, StorageSuite


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
