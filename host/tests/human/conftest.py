"""Two processes on each engine, and a platform with its application on SQLite; both on Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from dify_host.db.engine import Database
from dify_host.db.writer import BatchWriter
from redis.asyncio import Redis

from ..console.conftest import browsers as browsers
from ..runs.conftest import writer as writer
from ..service.conftest import app as app
from ..service.conftest import built as built
from ..service.conftest import env as env
from ..service.conftest import house as house
from ..service.conftest import openai as openai
from ..service.conftest import platform as platform
from ..service.conftest import web as web
from ..service.conftest import workshop as workshop
from .forms import FormHouse


@pytest.fixture
async def bus(redis_url: str) -> AsyncIterator[Redis]:
    bus = Redis.from_url(redis_url)
    yield bus
    await bus.aclose()


@pytest.fixture
async def here(database: Database, writer: BatchWriter, bus: Redis) -> AsyncIterator[FormHouse]:
    """A process, on each engine."""
    here = FormHouse(database, writer, bus)
    yield here
    await here.close()


@pytest.fixture
async def there(here: FormHouse) -> AsyncIterator[FormHouse]:
    """Another process on the same database."""
    there = here.neighbour("there")
    yield there
    await there.close()
