"""A store on a simulated TiDB, which is a file beside this one."""

import socket
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from dify_kernel.settings import Secret
from dify_kernel.testing.server import Server
from dify_kernel.testing.vector import emptied
from dify_vdb_tidb_vector import TidbVectorSettings, TidbVectorStore

PASSWORD = "password-of-the-tests"
SERVER = Path(__file__).parent / "tidb_server.py"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    pytest.importorskip("mysql_mimic", reason="the library mysql-mimic is not installed")

    def command(it: Server) -> list[str]:
        return [sys.executable, str(SERVER), str(it.port), str(it.folder)]

    with Server(command, folder=tmp_path_factory.mktemp("tidb"), ready=greets) as server:
        yield server


def greets(server: Server) -> None:
    """The server speaks first."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        assert connection.recv(1)


@pytest.fixture
def settings(server: Server) -> TidbVectorSettings:
    return TidbVectorSettings(
        host="127.0.0.1",
        port=server.port,
        user="dify",
        password=Secret(PASSWORD),
        database="vectors",
        tls=False,
    )


@pytest.fixture
async def store(settings: TidbVectorSettings) -> AsyncIterator[TidbVectorStore]:
    store = TidbVectorStore(settings)
    async with emptied(store):
        yield store
