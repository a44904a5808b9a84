"""A store over an index for tests, which stands in for Upstash."""

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from dify_kernel.settings import Secret
from dify_kernel.testing.server import Server
from dify_kernel.testing.vector import emptied
from dify_vdb_upstash import UpstashSettings, UpstashVectorStore

PROGRAM = str(Path(__file__).with_name("index_service.py"))
TOKEN = "right"
DIMENSION = 12
"""Longer than any space of the suite: the rest is zeros."""


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    def command(it: Server) -> list[str]:
        places = ["--port", str(it.port), "--folder", str(it.folder)]
        return [sys.executable, PROGRAM, *places, "--dimension", str(DIMENSION), "--token", TOKEN]

    with Server(command, folder=tmp_path_factory.mktemp("upstash")) as server:
        yield server


@pytest.fixture
def settings(server: Server) -> UpstashSettings:
    return UpstashSettings(url=f"http://127.0.0.1:{server.port}", token=Secret(TOKEN))


@pytest.fixture
async def store(settings: UpstashSettings) -> AsyncIterator[UpstashVectorStore]:
    store = UpstashVectorStore(settings)
    async with emptied(store):
        yield store
