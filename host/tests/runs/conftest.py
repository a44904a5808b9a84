"""Writers and log stores on each engine, closed at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from dify_host.db.engine import Database
from dify_host.db.writer import BatchWriter
from dify_host.platform import Platform
from dify_host.runs.event_log import SqlRunLogStore
from dify_kernel.contracts.storage import Storage
from dify_kernel.testing.openai_server import OpenAIServer

from .run_house import REGISTRY, RunHouse


@pytest.fixture
async def writer(database: Database) -> AsyncIterator[BatchWriter]:
    """A writer on each engine."""
    writer = BatchWriter(database)
    writer.start()
    yield writer
    await writer.close()


@pytest.fixture
async def store(database: Database, writer: BatchWriter) -> AsyncIterator[SqlRunLogStore]:
    """The logs on each engine."""
    store = SqlRunLogStore(database, writer)
    yield store
    await store.close()


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[Storage]:
    """Objects in a folder."""
    storage: Storage = REGISTRY.get("storage", "opendal").build({"DIFY_DATA": str(tmp_path)})
    await storage.open()
    yield storage
    await storage.close()


@pytest.fixture
async def lite_writer(sqlite_database: Database) -> AsyncIterator[BatchWriter]:
    """A writer on SQLite."""
    writer = BatchWriter(sqlite_database)
    writer.start()
    yield writer
    await writer.close()


@pytest.fixture
async def house(sqlite_database: Database, lite_writer: BatchWriter) -> AsyncIterator[RunHouse]:
    """Runs of made-up apps with fake models, on SQLite."""
    house = RunHouse(sqlite_database, lite_writer)
    yield house
    await house.close()


@pytest.fixture(scope="session")
def openai() -> Iterator[OpenAIServer]:
    """A scripted model server."""
    with OpenAIServer() as server:
        yield server


@pytest.fixture
def env(redis_url: str, sqlite_url: str, tmp_path: Path) -> dict[str, str]:
    """The environment of a platform on SQLite."""
    redis = urlsplit(redis_url)
    return {
        "DIFY_DATA": str(tmp_path / "data"),
        "DATABASE_URL": sqlite_url,
        "MIGRATION_ENABLED": "false",
        "REDIS_HOST": redis.hostname or "",
        "REDIS_PORT": str(redis.port or 6379),
        "REDIS_DB": redis.path.strip("/") or "0",
        "SSRF_ALLOWED_HOSTS": "127.0.0.1",
    }


@pytest.fixture
async def platform(env: dict[str, str]) -> AsyncIterator[Platform]:
    """A platform as a worker has it."""
    async with Platform.opened(env, role="worker") as platform:
        yield platform
