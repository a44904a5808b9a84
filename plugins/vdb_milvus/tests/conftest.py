"""A store on the real engine of Milvus Lite, served on a port as Milvus is, and the same in a file."""

from collections.abc import AsyncIterator, Iterator

import pytest
from dify_kernel.testing.server import Server, program
from dify_kernel.testing.vector import emptied
from dify_vdb_milvus import MilvusSettings, MilvusVectorStore


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    def command(it: Server) -> list[str]:
        places = ["--data-dir", str(it.folder / "data"), "--host", "127.0.0.1", "--port", str(it.port)]
        return [program("milvus-lite"), "server", *places]

    with Server(command, folder=tmp_path_factory.mktemp("milvus"), seconds=120) as server:
        yield server


@pytest.fixture
def settings(server: Server) -> MilvusSettings:
    return MilvusSettings(uri=f"http://127.0.0.1:{server.port}")


@pytest.fixture
async def store(settings: MilvusSettings) -> AsyncIterator[MilvusVectorStore]:
    store = MilvusVectorStore(settings)
    async with emptied(store):
        yield store
