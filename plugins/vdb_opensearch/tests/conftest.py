"""A store over a search engine for tests, which stands in for OpenSearch."""

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from dify_kernel.settings import Secret
from dify_kernel.testing.server import Server
from dify_kernel.testing.vector import emptied
from dify_vdb_opensearch import OpenSearchSettings, OpenSearchVectorStore

PROGRAM = str(Path(__file__).parents[3] / "tests" / "engines" / "search_engine.py")


@pytest.fixture(scope="session")
def server(tmp_path_factory) -> Iterator[Server]:
    def command(it: Server) -> list[str]:
        places = ["--port", str(it.port), "--folder", str(it.folder)]
        return [sys.executable, PROGRAM, *places, "--dialect", "opensearch", "--user", "admin", "--password", "right"]

    with Server(command, folder=tmp_path_factory.mktemp("opensearch")) as server:
        yield server


@pytest.fixture
async def store(server) -> AsyncIterator[OpenSearchVectorStore]:
    settings = OpenSearchSettings(host="127.0.0.1", port=server.port, user="admin", password=Secret("right"))
    store = OpenSearchVectorStore(settings)
    async with emptied(store):
        yield store
