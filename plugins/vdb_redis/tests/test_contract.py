"""The whole contract, on a real server: once compared one by one, once along the graph."""

import pytest
import redis
from dify_kernel.settings import Secret
from dify_kernel.testing.backend import Restart
from dify_kernel.testing.server import Server
from dify_kernel.testing.vector import Proof, VectorStoreSuite
from dify_vdb_redis import RedisSettings, RedisVectorStore

SECRET = "tests-secret-41c8"


class TestContract(VectorStoreSuite):
    @pytest.fixture
    def proof(self, server: Server, settings: RedisSettings) -> Proof:
        with redis.Redis(port=server.port, password=settings.password.reveal()) as client:
            return Proof("live", f"Redis {client.info('server')['redis_version']}")

    @pytest.fixture
    def restart(self, server: Server) -> Restart:
        return server.restart

    @pytest.fixture
    def unreachable(self) -> RedisVectorStore:
        return RedisVectorStore(RedisSettings(host="127.0.0.1", port=9, password=Secret(SECRET)))

    @pytest.fixture
    def unauthorized(self, server: Server) -> RedisVectorStore:
        return RedisVectorStore(RedisSettings(host="127.0.0.1", port=server.port, password=Secret(SECRET)))

    @pytest.fixture
    def secrets(self) -> list[str]:
        return [SECRET]


class TestGraph(VectorStoreSuite):
    """No partition is too small for the graph."""

    @pytest.fixture
    def settings(self, server: Server) -> RedisSettings:
        return RedisSettings(host="127.0.0.1", port=server.port, password=Secret("right"), exact_up_to=0)
