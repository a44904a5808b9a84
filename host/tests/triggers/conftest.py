"""A platform with its application, on SQLite and Redis, and a workspace in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from dify_host.app import create_app
from dify_host.platform import Platform
from litestar import Litestar
from litestar.datastructures import State

from .trigger_house import TriggerHouse


@pytest.fixture
def env(redis_url: str, sqlite_url: str, tmp_path: Path) -> dict[str, str]:
    """The environment of the platform; add to it before `platform` is used."""
    redis = urlsplit(redis_url)
    return {
        "DIFY_DATA": str(tmp_path / "data"),
        "DATABASE_URL": sqlite_url,
        "MIGRATION_ENABLED": "false",
        "REDIS_HOST": redis.hostname or "",
        "REDIS_PORT": str(redis.port or 6379),
        "REDIS_DB": redis.path.strip("/") or "0",
    }


@pytest.fixture
async def platform(env: dict[str, str]) -> AsyncIterator[Platform]:
    async with Platform.opened(env, role="api") as platform:
        yield platform


@pytest.fixture(scope="session")
def built() -> list[Litestar]:
    """The application of this session, once it was built: its routes are the same for every platform."""
    return []


@pytest.fixture
async def web(platform: Platform, built: list[Litestar]) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application over this test's platform, without credentials."""
    if not built:
        built.append(create_app(platform))
    built[0].state = State({"platform": platform})
    transport = httpx.ASGITransport(built[0], raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://dify.test") as client:
        yield client


@pytest.fixture
async def house(platform: Platform, web: httpx.AsyncClient) -> TriggerHouse:
    """One workspace."""
    return await TriggerHouse.open(platform, web)
