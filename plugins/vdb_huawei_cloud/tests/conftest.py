"""A store over a search engine for tests, which stands in for Huawei Cloud."""

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from dify_kernel.settings import Secret
from dify_kernel.testing.server import Server
from dify_kernel.testing.vector import emptied
from dify_vdb_huawei_cloud import HuaweiCloudSettings, HuaweiCloudVectorStore

PROGRAM = str(Path(__file__).parents[3] / "tests" / "engines" / "search_engine.py")


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[Server]:
    def command(it: Server) -> list[str]:
        places = ["--port", str(it.port), "--folder", str(it.folder)]
        return [sys.executable, PROGRAM, *places, "--dialect", "huawei", "--user", "admin", "--password", "right"]

    with Server(command, folder=tmp_path_factory.mktemp("huawei_cloud")) as server:
        yield server


@pytest.fixture
async def store(server) -> AsyncIterator[HuaweiCloudVectorStore]:
    address = f"http://127.0.0.1:{server.port}"
    settings = HuaweiCloudSettings(hosts=address, user="admin", password=Secret("right"))
    store = HuaweiCloudVectorStore(settings)
    async with emptied(store):
        yield store
