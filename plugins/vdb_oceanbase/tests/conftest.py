"""A store on a real engine, from the wheel that holds it, over its socket."""

import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from dify_kernel.settings import Secret
from dify_kernel.testing.server import Server
from dify_kernel.testing.vector import emptied
from dify_vdb_oceanbase import OceanbaseSettings, OceanbaseStore

PASSWORD = "password-of-the-tests"
QUIET = {"TELEMETRY_ENABLED": "false"}


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    pytest.importorskip("pylibseekdb", reason="the wheel pylibseekdb is not installed")
    import pymysql

    folder = Path(tempfile.mkdtemp(prefix="dify-seekdb-"))  # short: the path of a socket has room for 107 characters

    def command(it: Server) -> list[str]:
        return [sys.executable, str(Path(__file__).parent / "engine.py"), str(it.folder / "data")]

    def ready(it: Server) -> None:
        pymysql.connect(unix_socket=socket_of(it), user="guest", password=PASSWORD, database="vectors").close()

    try:
        with Server(command, folder=folder, ready=ready, env=QUIET, seconds=120) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def socket_of(server: Server) -> str:
    return str(server.folder / "data" / "run" / "sql.sock")


@pytest.fixture
def settings(server: Server) -> OceanbaseSettings:
    return OceanbaseSettings(
        vector_host=socket_of(server),
        vector_user="dify",
        vector_password=Secret(PASSWORD),
        vector_database="vectors",
    )


@pytest.fixture
async def store(settings: OceanbaseSettings) -> AsyncIterator[OceanbaseStore]:
    store = OceanbaseStore(settings)
    async with emptied(store):
        yield store
