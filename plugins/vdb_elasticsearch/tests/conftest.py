"""A store over an engine that speaks Elasticsearch's protocol, which the tests start and stop."""

from collections.abc import AsyncIterator, Iterator
from importlib.resources import files

import pytest
from dify_kernel.testing.server import Server
from dify_kernel.testing.vector import emptied
from dify_vdb_elasticsearch import ElasticsearchSettings, ElasticsearchVectorStore


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[Server]:
    pytest.importorskip("noida_db")
    # The binary itself: the script around it dies first, before it has saved what it holds.
    program = str(files("noida_db") / "noida-db")

    def command(it: Server) -> list[str]:
        places = ["--data-dir", str(it.folder / "data"), "--elasticsearch-port", str(it.port)]
        return [program, "start", "--only", "elasticsearch", "--host", "127.0.0.1", *places]

    with Server(command, folder=tmp_path_factory.mktemp("elasticsearch")) as server:
        yield server


@pytest.fixture
async def store(server) -> AsyncIterator[ElasticsearchVectorStore]:
    store = ElasticsearchVectorStore(ElasticsearchSettings(port=server.port))
    async with emptied(store):
        yield store
