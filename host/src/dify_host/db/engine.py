"""Opens the database: short reads and short write transactions, on any of three engines."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Any, Literal, TypeVar

import msgspec
import sqlalchemy as sa
from dify_kernel.errors import SettingsError
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from dify_host.db.errors import DatabaseDeadlock, DatabaseError, DatabaseUnavailable, translate
from dify_host.db.inline import run_inline
from dify_host.db.types import decode_json, encode_json
from dify_host.db.wal import enter_wal

__all__ = ["JOBS_WRITTEN", "Database", "Dialect", "PoolSettings", "database_now", "driver_url"]

Dialect = Literal["sqlite", "postgresql", "mysql"]
T = TypeVar("T")

_DRIVERS: dict[str, tuple[Dialect, str]] = {
    "sqlite": ("sqlite", "sqlite+aiosqlite"),
    "postgresql": ("postgresql", "postgresql+psycopg"),
    "postgres": ("postgresql", "postgresql+psycopg"),
    "mysql": ("mysql", "mysql+asyncmy"),
    "mariadb": ("mysql", "mysql+asyncmy"),
}
_SQLITE_BUSY_SECONDS = 10
_SQLITE_PRAGMAS = (f"busy_timeout={_SQLITE_BUSY_SECONDS * 1000}", "synchronous=NORMAL", "foreign_keys=ON")
_SQLITE_CONNECTIONS = 8  # each is a thread; readers beyond this many only wait for the same disk
_SQLITE_LOOKUPS = 4
_DEADLOCK_PAUSES = (0.01, 0.05, 0.2, 0.5)  # seconds
_WRITES = "dify_writes"
#: Set in a connection's `info` by what writes to the outbox.
JOBS_WRITTEN = "dify_jobs_written"


class PoolSettings(msgspec.Struct, frozen=True):
    """How connections are kept, times in seconds; names and defaults are those of SQLALCHEMY_*."""

    pool_size: int = 30
    max_overflow: int = 10
    pool_recycle: int = 3600
    pool_pre_ping: bool = False
    pool_use_lifo: bool = False
    pool_timeout: int = 30
    echo: bool = False


def driver_url(url: str) -> tuple[Dialect, URL]:
    """Tell the engine a URL names, and return the URL with the asynchronous driver the host uses for it."""
    try:
        parsed = make_url(url)
    except sa.exc.ArgumentError as exc:
        raise SettingsError(
            "The database URL cannot be read.", hint="Use scheme://user:password@host:port/name."
        ) from exc
    known = _DRIVERS.get(parsed.drivername.partition("+")[0])
    if known is None:
        raise SettingsError(
            f"The database scheme {parsed.drivername!r} is not known.",
            hint="Use sqlite, postgresql or mysql.",
        )
    dialect, driver = known
    if dialect == "sqlite" and (parsed.database or ":memory:") == ":memory:":
        raise SettingsError("SQLite needs a file.", hint="Use sqlite:///relative.db or sqlite:////absolute.db.")
    if dialect == "mysql":
        parsed = parsed.update_query_dict({"charset": "utf8mb4"})
    return dialect, parsed.set(drivername=driver)


def _threads() -> tuple[ThreadPoolExecutor, ThreadPoolExecutor]:
    """Where SQLite is looked into, and where it is written; a thread starts when it is needed."""
    return (
        ThreadPoolExecutor(max_workers=_SQLITE_LOOKUPS, thread_name_prefix="sqlite-lookups"),
        ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqlite-batches"),
    )


class Database:
    """One database and its pool of connections; opens nothing until the first `read` or `write`.

    No transaction and no connection may be held across an await on the outside world.
    """

    def __init__(self, url: str, pool: PoolSettings | None = None) -> None:
        self.dialect: Dialect
        self.dialect, self._url = driver_url(url)
        self._engine = _build_engine(self.dialect, self._url, pool or PoolSettings())
        # Reads on PostgreSQL go without a transaction, which saves two round trips. MySQL would need
        # two more for the switch, and SQLite has none to save.
        autocommit = {"isolation_level": "AUTOCOMMIT"} if self.dialect == "postgresql" else {}
        self._reader = self._engine.execution_options(**{_WRITES: False}, **autocommit)
        self._writer = self._engine.execution_options(**{_WRITES: True})
        self._turn = asyncio.Lock() if self.dialect == "sqlite" else None
        self._turn_owner: asyncio.Task[Any] | None = None
        self._direct: sa.Engine | None = None
        self._lookups: sa.Engine | None = None
        self._looking, self._batches = _threads()
        #: Called after a transaction that wrote jobs to the outbox is committed; tells a relay not to wait.
        self.on_jobs: Callable[[], None] = lambda: None

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Lend a connection for reading; each statement sees what is committed when it starts.

        Inserts, updates and deletes are refused with `DatabaseError`.
        """
        async with _connected(self._reader) as conn:
            yield conn

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """Lend a connection in a transaction: committed when the block ends, rolled back when it raises.

        On SQLite, writers of one process take turns and the lock is taken at the start, so a transaction that
        reads first never fails for having read. A write inside a write of the same task is a `DatabaseError`.
        """
        async with self._write_turn(), _connected(self._writer) as conn:
            conn.info.pop(JOBS_WRITTEN, None)  # of a transaction on this connection that was rolled back
            async with conn.begin():
                yield conn
            jobs = conn.info.pop(JOBS_WRITTEN, False)
        if jobs:
            self.on_jobs()

    async def run_write(self, work: Callable[[Connection], T]) -> T:
        """Run a write transaction that awaits nothing: on SQLite a single trip to a thread, not one a statement.

        A transaction that a server ends because of a deadlock is run again: `work` may be called more than once.
        """
        if self.dialect != "sqlite":
            return await self.write_inline(lambda conn: conn.run_sync(work))
        return await self._in_batch(work)

    async def write_inline(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """`run_write` for work that is written for a connection of `write`, and awaits nothing but that.

        It may be called more than once, too. On SQLite a DatabaseError tells of another await.
        """
        if self.dialect != "sqlite":
            return await _again_after_deadlock(lambda: self._write_with(work))
        return await self._in_batch(partial(run_inline, work=work))

    async def _in_batch(self, work: Callable[[Connection], T]) -> T:
        """Run it where SQLite is written."""
        async with self._write_turn():
            result, jobs = await asyncio.get_running_loop().run_in_executor(self._batches, self._write_here, work)
        if jobs:
            self.on_jobs()
        return result

    async def _write_with(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        async with self.write() as conn:
            return await work(conn)

    async def run_read(self, work: Callable[[Connection], T]) -> T:
        """Run statements that read and await nothing: on SQLite a single trip to a thread, as with `run_write`."""
        if self.dialect != "sqlite":
            return await self.read_inline(lambda conn: conn.run_sync(work))
        if self._lookups is None:
            self._lookups = _build_direct(self._url, _SQLITE_LOOKUPS).execution_options(**{_WRITES: False})
        return await asyncio.get_running_loop().run_in_executor(self._looking, self._read_here, self._lookups, work)

    async def read_inline(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """`run_read` for work that is written for a connection of `read`, and awaits nothing but that."""
        if self.dialect != "sqlite":
            async with self.read() as conn:
                return await work(conn)
        return await self.run_read(partial(run_inline, work=work))

    def _read_here(self, engine: sa.Engine, work: Callable[[Connection], T]) -> T:
        with engine.connect() as conn:
            return work(conn)

    def _write_here(self, work: Callable[[Connection], T]) -> tuple[T, bool]:
        """The result, and whether jobs were written."""
        if self._direct is None:
            self._direct = _build_direct(self._url)
        with self._direct.connect() as conn:
            conn.info.pop(JOBS_WRITTEN, None)  # of a transaction on this connection that was rolled back
            with conn.begin():
                result = work(conn)
            return result, conn.info.pop(JOBS_WRITTEN, False)

    async def revision(self) -> str | None:
        """The schema's revision, without the migration tool; None for a database that was never set up."""
        try:
            async with self.read() as conn:
                found = (await conn.execute(sa.text("SELECT version_num FROM alembic_version"))).scalar()
        except DatabaseError:
            return None
        return str(found) if found else None

    async def close(self) -> None:
        """Close every connection and end the threads; may be called twice, and what is used again opens again."""
        looking, batches = self._looking, self._batches
        self._looking, self._batches = _threads()
        for threads in (looking, batches):
            threads.shutdown(wait=False)  # what one of them still does it ends
        for direct in (self._direct, self._lookups):
            if direct is not None:
                direct.dispose()
        await self._engine.dispose()

    def __repr__(self) -> str:
        return f"Database({self._url.render_as_string(hide_password=True)!r})"

    @asynccontextmanager
    async def _write_turn(self) -> AsyncIterator[None]:
        """Hold this process's turn to write where the engine has a single writer."""
        if self._turn is None:
            yield
            return
        task = asyncio.current_task()
        if task is not None and self._turn_owner is task:
            raise DatabaseError("A write was opened inside a write.", hint="Pass the connection on instead.")
        async with self._turn:
            self._turn_owner = task
            try:
                yield
            finally:
                self._turn_owner = None


async def _again_after_deadlock(write: Callable[[], Awaitable[T]]) -> T:
    """Run a transaction, and again when the server ended it because of a deadlock."""
    for pause in _DEADLOCK_PAUSES:
        try:
            return await write()
        except DatabaseDeadlock:
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
    return await write()


async def database_now(conn: AsyncConnection) -> datetime:
    """Return the database's clock as naive UTC: the one clock that several processes share."""
    statement = {
        "sqlite": "SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')",
        "postgresql": "SELECT timezone('utc', clock_timestamp())",
    }.get(conn.dialect.name, "SELECT UTC_TIMESTAMP(6)")
    value = (await conn.execute(sa.text(statement))).scalar_one()
    return datetime.fromisoformat(value) if isinstance(value, str) else value


@asynccontextmanager
async def _connected(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Take a connection from the pool, and give it back."""
    conn = engine.connect()
    try:
        await conn.start()
    except sa.exc.TimeoutError as exc:
        raise DatabaseUnavailable(
            "Every database connection is in use.", hint="Raise SQLALCHEMY_POOL_SIZE or add processes."
        ) from exc
    try:
        yield conn
    finally:
        # A cancelled task must still give its connection back, or the pool runs dry.
        await asyncio.shield(conn.close())


def _build_engine(dialect: Dialect, url: URL, pool: PoolSettings) -> AsyncEngine:
    """Create the engine of one dialect with its listeners."""
    options: dict[str, Any] = msgspec.structs.asdict(pool)
    if dialect == "sqlite":
        options |= {
            "pool_size": min(pool.pool_size, _SQLITE_CONNECTIONS),
            "max_overflow": 0,
            "pool_recycle": -1,
        }
    else:
        # MySQL starts at REPEATABLE READ; one level on every server means one behaviour, and no gap locks.
        options["isolation_level"] = "READ COMMITTED"
    try:
        engine = create_async_engine(
            url, json_serializer=encode_json, json_deserializer=decode_json, hide_parameters=True, **options
        )
    except ModuleNotFoundError as exc:
        raise SettingsError(
            f"The driver {exc.name} for {dialect} is not installed.", hint=f'Install it: pip install "dify[{dialect}]".'
        ) from exc
    sync_engine = engine.sync_engine
    sa.event.listen(sync_engine, "handle_error", translate, retval=True)
    sa.event.listen(sync_engine, "before_execute", _refuse_write_on_read)
    if dialect == "sqlite":
        sa.event.listen(sync_engine, "connect", _prepare_sqlite)
        sa.event.listen(sync_engine, "begin", _begin_sqlite)
    return engine


def _build_direct(url: URL, connections: int = 1) -> sa.Engine:
    """The same SQLite file without the asynchronous driver, for so many threads."""
    engine = sa.create_engine(
        url.set(drivername="sqlite"),
        json_serializer=encode_json,
        json_deserializer=decode_json,
        hide_parameters=True,
        connect_args={"check_same_thread": False},
        pool_size=connections,
        max_overflow=0,
    )
    sa.event.listen(engine, "handle_error", translate, retval=True)
    sa.event.listen(engine, "before_execute", _refuse_write_on_read)
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    """Set up a new SQLite connection; its driver must not open transactions of its own."""
    connection.isolation_level = None
    # Its own one folds the case of ASCII alone, and then "ÜBER" is not found as the other engines find it.
    connection.create_function("lower", 1, _lower, deterministic=True)
    cursor = connection.cursor()
    for pragma in _SQLITE_PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    enter_wal(cursor, _SQLITE_BUSY_SECONDS)
    cursor.close()


def _lower(value: Any) -> str | None:
    return None if value is None else str(value).lower()


def _begin_sqlite(conn: Connection) -> None:
    """Take the write lock at once: a lock that is upgraded after a read fails however long one waits."""
    if conn.get_execution_options().get(_WRITES, True):
        conn.exec_driver_sql("BEGIN IMMEDIATE")


def _refuse_write_on_read(conn: Connection, clause: Any, _many: Any, _params: Any, _options: Any) -> None:
    """Stop a change on a connection lent for reading: it would be lost on one engine and kept on another."""
    if getattr(clause, "is_dml", False) and conn.get_execution_options().get(_WRITES) is False:
        raise DatabaseError("A change was sent on a connection for reading.", hint="Use `write`.")
