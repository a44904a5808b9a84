"""The schema goes up, matches the tables in the code, and comes down again, on every engine."""

from __future__ import annotations

import asyncio
import multiprocessing
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from dify_host.db import migrate
from dify_host.db.catalog import metadata
from dify_host.db.engine import Database
from dify_host.db.errors import DatabaseUnavailable
from dify_host.db.types import new_id
from dify_host.identity.tables import accounts
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Connection


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def empty_url(request: pytest.FixtureRequest, new_database: Callable[[str], str]) -> str:
    """The URL of a database without tables."""
    return new_database(request.param)


async def tables(url: str) -> set[str]:
    def names(conn: Connection) -> set[str]:
        return set(sa.inspect(conn).get_table_names())

    db = Database(url)
    async with db.read() as conn:
        found = await conn.run_sync(names)
    await db.close()
    return found


async def change(url: str, statement: str) -> None:
    db = Database(url)
    async with db.write() as conn:
        await conn.execute(sa.text(statement))
    await db.close()


async def test_up_no_difference_and_down(empty_url: str) -> None:
    assert await migrate.current(empty_url) is None
    await migrate.upgrade(empty_url)
    assert await migrate.current(empty_url) == migrate.head()
    assert await tables(empty_url) == {*metadata.tables, "alembic_version"}
    assert await migrate.check(empty_url) == []
    await migrate.downgrade(empty_url, "base")
    assert await tables(empty_url) == {"alembic_version"}


async def test_a_second_upgrade_keeps_the_rows(empty_url: str) -> None:
    await migrate.upgrade(empty_url)
    db = Database(empty_url)
    async with db.write() as conn:
        await conn.execute(accounts.insert().values(id=new_id(), name="Ada", email="a@x"))
    await migrate.upgrade(empty_url)
    async with db.read() as conn:
        assert (await conn.execute(sa.select(accounts.c.name))).scalar_one() == "Ada"
    await db.close()


async def test_check_names_what_differs(empty_url: str) -> None:
    every = await migrate.check(empty_url)
    assert any(line.startswith("revision:") for line in every)
    assert "add_table: accounts" in every
    await migrate.upgrade(empty_url)
    await change(empty_url, "ALTER TABLE accounts DROP COLUMN timezone")
    await change(empty_url, "ALTER TABLE accounts ADD COLUMN shoe_size INTEGER")
    await change(empty_url, "DROP TABLE tags")
    found = await migrate.check(empty_url)
    assert {"add_table: tags", "add_column: accounts.timezone", "remove_column: accounts.shoe_size"} <= set(found)
    assert all(line.partition(": ")[2].startswith(("tags", "accounts")) for line in found)


def _upgrade(url: str) -> None:
    asyncio.run(migrate.upgrade(url))


async def test_two_processes_that_start_at_once_both_succeed(empty_url: str) -> None:
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_upgrade, args=(empty_url,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        await asyncio.to_thread(process.join, 100)
    assert [process.exitcode for process in processes] == [0, 0]
    assert await migrate.check(empty_url) == []


async def test_a_failed_upgrade_leaves_nothing_where_tables_are_transactional(empty_url: str) -> None:
    if empty_url.startswith("mysql"):
        pytest.skip("MySQL commits each statement that creates a table")
    await change(empty_url, "CREATE TABLE outbox (a INTEGER)")
    with pytest.raises(Exception, match="refused"):
        await migrate.upgrade(empty_url)
    assert await tables(empty_url) == {"outbox"}
    await change(empty_url, "DROP TABLE outbox")
    await migrate.upgrade(empty_url)
    assert await migrate.check(empty_url) == []


async def test_a_new_revision_brings_an_older_database_to_the_code(
    new_database: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = new_database("sqlite")
    await migrate.upgrade(url)
    await change(url, "DROP TABLE tags")
    folder = tmp_path / "migrations"
    folder.mkdir()
    source = Path(migrate.__file__).parent / "migrations"
    for name in ("env.py", "script.py.mako", "versions"):
        (folder / name).symlink_to(source / name) if name != "versions" else (folder / name).mkdir()
    (folder / "versions" / "0001_first.py").write_text((source / "versions" / "0001_first.py").read_text())
    monkeypatch.setattr(migrate, "_FOLDER", folder)
    written = await migrate.create_revision(url, "Bring tags back")
    text = written.read_text()
    assert "types.Id()" in text
    assert "types.Moment()" in text
    await migrate.upgrade(url)
    assert await migrate.check(url) == []
    assert "tags" in await tables(url)


async def test_a_server_that_does_not_answer_is_unavailable() -> None:
    with pytest.raises(DatabaseUnavailable):
        await migrate.upgrade("postgresql://nobody@127.0.0.1:1/none")


def test_names_fit_every_engine() -> None:
    names = [str(index.name) for table in metadata.tables.values() for index in table.indexes]
    unique = [item for table in metadata.tables.values() for item in table.constraints]
    names += [str(item.name) for item in unique if isinstance(item, sa.UniqueConstraint)]
    assert all(len(name) <= 63 for name in names)
    assert len(names) == len(set(names))


async def test_the_revision_is_known_without_the_migration_tool(tmp_path: Path) -> None:
    from dify_host.db.engine import Database
    from dify_host.db.migrations import HEAD

    url = f"sqlite:///{tmp_path / 'new.db'}"
    database = Database(url)
    try:
        assert await database.revision() is None
        await migrate.upgrade(url)
        assert await database.revision() == migrate.head() == HEAD
    finally:
        await database.close()


def test_no_index_is_longer_than_mysql_takes() -> None:
    """3,072 bytes, at four a character. MariaDB makes longer unique ones in another way, and says nothing."""

    def width(column: sa.Column[Any]) -> int:
        length = re.search(r"CHAR\((\d+)\)", column.type.compile(dialect=mysql.dialect()))
        return 4 * int(length[1]) if length else 8

    unique = [
        item for table in metadata.sorted_tables for item in table.constraints if isinstance(item, sa.UniqueConstraint)
    ]
    indexes = [index for table in metadata.sorted_tables for index in table.indexes]
    assert [str(item.name) for item in (*unique, *indexes) if sum(map(width, item.columns)) > 3072] == []
