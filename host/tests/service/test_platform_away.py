"""What clients are told while the database is away: 503 with a code, and when to try again, behind every door."""

from __future__ import annotations

import socket

import httpx
import pytest
from dify_host.http.errors import error_response
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError


@pytest.fixture
def env(env: dict[str, str]) -> dict[str, str]:
    """A platform whose database listens nowhere."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody else gets the port, and nobody listens on it
        return env | {"DATABASE_URL": f"postgresql://dify@127.0.0.1:{taken.getsockname()[1]}/dify"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/triggers/webhook/someone"),
        ("POST", "/triggers/webhook-debug/someone"),
        ("GET", "/v1/parameters"),
        ("POST", "/v1/workflows/run"),
        ("GET", "/v1/datasets"),
        ("GET", "/console/api/setup"),
        ("GET", "/health"),
    ],
)
async def test_every_door_says_when_to_try_again(web: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await web.request(method, path, headers={"Authorization": "Bearer app-key"}, json={})
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize("error", [RedisConnectionError("Connection refused."), RedisTimeoutError("Timeout.")])
def test_a_queue_that_is_away_is_no_fault_of_the_request(error: Exception) -> None:
    answer = error_response(error)
    assert (answer.status_code, answer.content.code) == (503, "platform_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
