"""The knowledge domain wired up: a real database, a real vector store, a model that embeds words."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from dify_host.db.engine import Database
from dify_kernel.registry import Registry

from .house import House, embedded_stores


@pytest.fixture
async def house(sqlite_database: Database, tmp_path: Path) -> AsyncIterator[House]:
    """A tenant on SQLite."""
    async with embedded_stores(Registry(), tmp_path) as stores:
        yield House(sqlite_database, stores)


@pytest.fixture
async def any_house(database: Database, tmp_path: Path) -> AsyncIterator[House]:
    """A tenant on each engine."""
    async with embedded_stores(Registry(), tmp_path) as stores:
        yield House(database, stores)
