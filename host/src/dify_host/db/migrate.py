"""Brings a database to the schema of this version, takes it back, and tells where the two differ.

Run it from as many processes as you like: one works, the others wait and find the work done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from dify_host.db.catalog import metadata
from dify_host.db.engine import driver_url
from dify_host.db.errors import DatabaseBusy, DatabaseError, translate
from dify_host.db.types import Id, JsonText, LongText, Moment, Price
from dify_host.db.wal import enter_wal

__all__ = ["check", "configure", "create_revision", "current", "downgrade", "head", "upgrade"]

T = TypeVar("T")

_FOLDER = Path(__file__).parent / "migrations"
_LOCK_NUMBER = 0x64696679  # "dify"; any number that nobody else locks in the same database
_LOCK_SECONDS = 600
_OURS = (Id, Moment, LongText, JsonText, Price)


async def upgrade(url: str, target: str = "head") -> None:
    """Apply every revision up to `target`; does nothing when the database is there already."""
    await _run(url, lambda conn: command.upgrade(_config(conn), target))


async def downgrade(url: str, target: str) -> None:
    """Take revisions back down to `target` (a revision, `-1`, or `base`); what they added is lost."""
    await _run(url, lambda conn: command.downgrade(_config(conn), target))


async def current(url: str) -> str | None:
    """Return the revision the database is at, or None for one that was never set up."""
    return await _run(url, lambda conn: MigrationContext.configure(conn).get_current_revision())


def head() -> str:
    """Return the newest revision this version knows."""
    found = ScriptDirectory.from_config(_config(None)).get_current_head()
    if found is None:
        raise DatabaseError("There are no revisions.", hint="The package is incomplete: install it again.")
    return found


async def check(url: str) -> list[str]:
    """Return how the database differs from the tables of this version, a line each; empty when it does not."""
    return await _run(url, _differences)


async def create_revision(url: str, message: str) -> Path:
    """Write the revision that brings the database at `url`, which must be at the head, to the tables in the code.

    For developers: read and format the file before it is committed.
    """
    made = await _run(url, lambda conn: command.revision(_config(conn), message=message, autogenerate=True))
    if made is None or isinstance(made, list):
        raise DatabaseError("No revision was written.")
    return Path(made.path)


def configure(context: Any) -> None:
    """Set up alembic's context for the connection in its configuration (called by `env.py`)."""
    connection: Connection = context.config.attributes["connection"]
    context.configure(connection=connection, **_options())


def _options() -> dict[str, Any]:
    """Return how schemas are compared and rendered."""
    return {
        "target_metadata": metadata,
        "compare_type": True,
        "render_as_batch": True,
        "render_item": _render,
        "user_module_prefix": "types.",
        # Where DDL is transactional a failed upgrade leaves nothing behind; the lock opened the transaction.
        "transactional_ddl": True,
    }


def _render(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """Write our column types by their short names; write yes and no so that every engine takes them."""
    if kind == "server_default" and isinstance(item.arg, sa.True_ | sa.False_):
        return "sa.true()" if isinstance(item.arg, sa.True_) else "sa.false()"
    if kind != "type":
        return False
    if isinstance(item, _OURS):
        return f"types.{type(item).__name__}()"
    if isinstance(item, sa.JSON):
        return "types.Json()"
    if isinstance(item, sa.LargeBinary):
        return "types.Blob()"
    return False


def _config(connection: Connection | None) -> Config:
    """Build alembic's configuration in memory: the folder in this package, and a connection."""
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _differences(conn: Connection) -> list[str]:
    """Compare the database's revision and tables with this version's."""
    options = {name: value for name, value in _options().items() if name != "render_as_batch"}
    context = MigrationContext.configure(conn, opts=options)
    found = context.get_current_revision()
    behind = [] if found == head() else [f"revision: the database is at {found}, this version at {head()}"]
    return behind + [_describe(item) for item in _flatten(compare_metadata(context, metadata))]


def _flatten(items: Any) -> list[tuple[Any, ...]]:
    """Bring alembic's differences, some of which are grouped by column, into one list."""
    flat: list[tuple[Any, ...]] = []
    for item in items:
        flat.extend(_flatten(item) if isinstance(item, list) else [item])
    return flat


def _describe(item: tuple[Any, ...]) -> str:
    """Say one difference: what must be done to the database, and to what."""
    kind, subject = item[0], item[1]
    if isinstance(subject, sa.Table):
        return f"{kind}: {subject.name}"
    if isinstance(subject, sa.Index | sa.UniqueConstraint):
        return f"{kind}: {getattr(subject.table, 'name', '')}.{subject.name}"
    if kind.startswith("modify_"):
        return f"{kind}: {item[2]}.{item[3]} is {item[5]}, should be {item[6]}"
    column = item[3] if len(item) > 3 else subject
    return f"{kind}: {item[2] if len(item) > 3 else ''}.{getattr(column, 'name', column)}"


async def _run(url: str, work: Callable[[Connection], T]) -> T:
    """Do alembic's (blocking) work on one connection that holds the migration lock."""
    dialect, parsed = driver_url(url)
    engine = create_async_engine(parsed, poolclass=NullPool, hide_parameters=True)
    sa.event.listen(engine.sync_engine, "handle_error", translate, retval=True)
    if dialect == "sqlite":
        sa.event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    try:
        async with engine.connect() as conn:
            await _lock(conn, dialect)
            result = await conn.run_sync(work)
            await conn.commit()
            return result
    finally:
        # A cancelled start-up must still close the connection, which frees the lock.
        await asyncio.shield(engine.dispose())


async def _lock(conn: AsyncConnection, dialect: str) -> None:
    """Wait until no other process migrates this database; it is free again when the work is done."""
    if dialect == "sqlite":
        await conn.exec_driver_sql("BEGIN IMMEDIATE")
    elif dialect == "postgresql":
        await conn.execute(sa.text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK_NUMBER})
    else:
        name = sa.text("SELECT GET_LOCK(concat('dify.', left(sha2(database(), 256), 40)), :seconds)")
        if (await conn.execute(name, {"seconds": _LOCK_SECONDS})).scalar_one() != 1:
            raise DatabaseBusy("Another process is migrating this database.", hint="Wait for it, then repeat.")


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    """Leave transactions to us, so that the lock and the whole upgrade are one; wait long for the lock."""
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={_LOCK_SECONDS * 1000}")
    enter_wal(cursor, _LOCK_SECONDS)
    cursor.close()
