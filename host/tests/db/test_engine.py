"""Reads, write transactions, and what the errors of three engines become."""

from __future__ import annotations

import asyncio
import multiprocessing
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from dify_host.db.engine import Database, PoolSettings, database_now, driver_url
from dify_host.db.errors import DatabaseBusy, DatabaseDeadlock, DatabaseError, DatabaseUnavailable
from dify_host.db.types import new_id, utc_now
from dify_host.identity.tables import accounts, tenant_account_joins
from dify_kernel.errors import BadInput, Conflict, SettingsError
from sqlalchemy.util import await_only


def account(email: str = "a@example.org") -> dict[str, Any]:
    return {"id": new_id(), "name": "Ada", "email": email}


async def count(db: Database) -> int:
    async with db.read() as conn:
        return int((await conn.execute(sa.select(sa.func.count()).select_from(accounts))).scalar_one())


async def test_a_write_is_kept_and_a_failed_one_is_not(database: Database) -> None:
    async with database.write() as conn:
        await conn.execute(accounts.insert().values(account("kept@example.org")))

    async def fail() -> None:
        async with database.write() as conn:
            await conn.execute(accounts.insert().values(account("lost@example.org")))
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        await fail()
    assert await count(database) == 1


async def test_a_write_is_not_seen_before_it_is_committed(database: Database) -> None:
    async with database.write() as conn:
        await conn.execute(accounts.insert().values(account()))
        assert await count(database) == 0
    assert await count(database) == 1


async def test_a_read_sees_what_was_committed_while_it_was_open(database: Database) -> None:
    number = sa.select(sa.func.count()).select_from(accounts)
    async with database.read() as conn:
        assert (await conn.execute(number)).scalar_one() == 0
        async with database.write() as writer:
            await writer.execute(accounts.insert().values(account()))
        assert (await conn.execute(number)).scalar_one() == 1


async def test_a_change_on_a_reading_connection_is_refused(database: Database) -> None:
    for change in (accounts.insert().values(account()), accounts.update().values(name="x"), accounts.delete()):
        async with database.read() as conn:
            with pytest.raises(DatabaseError, match="for reading"):
                await conn.execute(change)


async def test_a_duplicate_is_a_conflict_that_names_the_constraint_and_not_the_value(database: Database) -> None:
    async with database.write() as conn:
        await conn.execute(accounts.insert().values(account()))
    with pytest.raises(Conflict) as caught:
        async with database.write() as conn:
            await conn.execute(accounts.insert().values(account()))
    assert "email" in str(caught.value)
    assert "a@example.org" not in str(caught.value)
    assert type(caught.value.__cause__).__module__.partition(".")[0] in ("sqlite3", "psycopg", "asyncmy")
    assert caught.value.status == 409


async def test_a_duplicate_inside_a_savepoint_leaves_the_transaction_usable(database: Database) -> None:
    async with database.write() as conn:
        await conn.execute(accounts.insert().values(account()))
        with pytest.raises(Conflict):
            async with conn.begin_nested():
                await conn.execute(accounts.insert().values(account()))
        await conn.execute(accounts.insert().values(account("b@example.org")))
    assert await count(database) == 2


async def test_a_missing_value_is_bad_input(database: Database) -> None:
    with pytest.raises(BadInput):
        async with database.write() as conn:
            await conn.execute(accounts.insert().values({**account(), "name": None}))


async def test_too_long_a_value_is_bad_input_on_servers(database: Database) -> None:
    if database.dialect == "sqlite":
        pytest.skip("SQLite does not know lengths")
    with pytest.raises(BadInput):
        async with database.write() as conn:
            await conn.execute(accounts.insert().values({**account(), "name": "x" * 256}))


async def test_a_broken_statement_is_a_fault_of_ours(database: Database) -> None:
    async with database.read() as conn:
        with pytest.raises(DatabaseError) as caught:
            await conn.execute(sa.text("SELEC 1"))
    assert type(caught.value) is DatabaseError
    assert not caught.value.retryable


async def test_an_update_counts_the_rows_it_matched(database: Database) -> None:
    async with database.write() as conn:
        await conn.execute(accounts.insert().values(account()))
        changed = await conn.execute(accounts.update().values(name="Ada", updated_at=utc_now()))
        again = await conn.execute(accounts.update().where(accounts.c.name == "Ada").values(status="active"))
    assert (changed.rowcount, again.rowcount) == (1, 1)


async def test_concurrent_read_then_write_transactions_lose_nothing(database: Database) -> None:
    join = {"id": new_id(), "tenant_id": new_id(), "account_id": new_id()}
    async with database.write() as conn:
        await conn.execute(accounts.insert().values({**account(), "status": "0"}))
        await conn.execute(tenant_account_joins.insert().values(join))

    async def add_one() -> None:
        async with database.write() as conn:
            query = sa.select(accounts.c.status).with_for_update()
            value = int((await conn.execute(query)).scalar_one())
            await conn.execute(accounts.update().values(status=str(value + 1)))

    await asyncio.gather(*(add_one() for _ in range(20)))
    async with database.read() as conn:
        assert (await conn.execute(sa.select(accounts.c.status))).scalar_one() == "20"


async def two_that_meet(database: Database) -> asyncio.Barrier:
    """Where two writers meet, each of which has locked one of the two accounts that are there."""
    if database.dialect == "sqlite":
        pytest.skip("SQLite has one writer")
    async with database.write() as conn:
        await conn.execute(accounts.insert(), [account("a@x"), account("b@x")])
    return asyncio.Barrier(2)


async def test_a_deadlock_is_retryable(database: Database) -> None:
    met = await two_that_meet(database)

    async def lock(first: str, second: str) -> None:
        async with database.write() as conn:
            await conn.execute(accounts.update().where(accounts.c.email == first).values(name=second))
            await met.wait()
            await conn.execute(accounts.update().where(accounts.c.email == second).values(name=first))

    results = await asyncio.gather(lock("a@x", "b@x"), lock("b@x", "a@x"), return_exceptions=True)
    failed = [result for result in results if result is not None]
    assert [type(error) for error in failed] == [DatabaseDeadlock]
    assert isinstance(failed[0], DatabaseBusy)
    assert failed[0].retryable


async def test_work_that_met_a_deadlock_is_run_again(database: Database) -> None:
    met = await two_that_meet(database)
    calls: list[str] = []

    def lock(first: str, second: str, conn: sa.Connection) -> None:
        calls.append(first)
        conn.execute(accounts.update().where(accounts.c.email == first).values(name=f"{first}, first"))
        if calls.count(first) == 1:
            await_only(met.wait())
        conn.execute(accounts.update().where(accounts.c.email == second).values(name=f"{first}, second"))

    pairs = [("a@x", "b@x"), ("b@x", "a@x")]
    await asyncio.gather(*(database.run_write(partial(lock, *pair)) for pair in pairs))
    assert len(calls) == 3
    again = calls[-1]
    async with database.read() as conn:
        names = set((await conn.execute(sa.select(accounts.c.name))).scalars())
    assert names == {f"{again}, first", f"{again}, second"}  # the whole of what was repeated, and nothing of a half


async def test_a_cancelled_write_gives_its_connection_back(database_url: str) -> None:
    db = Database(database_url, PoolSettings(pool_size=1, max_overflow=0, pool_timeout=5))
    for _ in range(3):
        inside = asyncio.Event()

        async def hold(inside: asyncio.Event = inside) -> None:
            async with db.write() as conn:
                await conn.execute(accounts.insert().values(account()))
                inside.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(hold())
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await count(db) == 0
    await db.close()


async def test_no_free_connection_is_unavailable(database_url: str) -> None:
    db = Database(database_url, PoolSettings(pool_size=1, max_overflow=0, pool_timeout=0))
    async with db.read() as conn:
        await conn.execute(sa.text("SELECT 1"))
        with pytest.raises(DatabaseUnavailable, match="in use"):
            async with db.read():
                pass
    await db.close()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://nobody:secret@127.0.0.1:1/none",
        "mysql://nobody:secret@127.0.0.1:1/none",
        "sqlite:////nowhere/at/all.db",
    ],
)
async def test_a_server_that_does_not_answer_is_unavailable(url: str) -> None:
    db = Database(url)
    with pytest.raises(DatabaseUnavailable) as caught:
        async with db.read() as conn:
            await conn.execute(sa.text("SELECT 1"))
    assert caught.value.retryable
    assert "secret" not in f"{caught.value} {db!r}"
    await db.close()
    await db.close()


@pytest.mark.parametrize("url", ["", "nonsense", "oracle://a/b", "sqlite://", "sqlite:///:memory:"])
def test_a_url_that_cannot_work_is_a_setting_error(url: str) -> None:
    with pytest.raises(SettingsError):
        Database(url)


@pytest.mark.parametrize(
    ("url", "dialect", "driver"),
    [
        ("postgres://u@h/d", "postgresql", "postgresql+psycopg"),
        ("postgresql+psycopg2://u@h/d", "postgresql", "postgresql+psycopg"),
        ("mysql+pymysql://u@h/d", "mysql", "mysql+asyncmy"),
        ("mariadb://u@h/d", "mysql", "mysql+asyncmy"),
        ("sqlite:///x.db", "sqlite", "sqlite+aiosqlite"),
    ],
)
def test_a_url_gets_the_asynchronous_driver(url: str, dialect: str, driver: str) -> None:
    found, parsed = driver_url(url)
    assert (found, parsed.drivername) == (dialect, driver)


async def test_the_database_clock_is_utc(database: Database) -> None:
    async with database.read() as conn:
        now = await database_now(conn)
    assert now.tzinfo is None
    assert abs((now - utc_now()).total_seconds()) < 5


async def test_sqlite_is_set_up_for_several_processes(sqlite_database: Database) -> None:
    async with sqlite_database.read() as conn:
        pragmas = {
            name: (await conn.exec_driver_sql(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 1, "busy_timeout": 10000, "foreign_keys": 1}


async def test_a_write_inside_a_write_is_refused_where_it_would_wait_for_itself(sqlite_database: Database) -> None:
    async with sqlite_database.write():
        with pytest.raises(DatabaseError, match="inside a write"):
            async with sqlite_database.write():
                pass


async def _count_up(url: str, times: int) -> None:
    db = Database(url)
    for _ in range(times):
        async with db.write() as conn:
            value = int((await conn.execute(sa.select(accounts.c.status))).scalar_one())
            await conn.execute(accounts.update().values(status=str(value + 1)))
    await db.close()


def _count_up_process(url: str, times: int) -> None:
    asyncio.run(_count_up(url, times))


async def test_processes_that_read_then_write_sqlite_never_meet_a_locked_database(
    sqlite_database: Database, sqlite_url: str
) -> None:
    async with sqlite_database.write() as conn:
        await conn.execute(accounts.insert().values({**account(), "status": "0"}))
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=_count_up_process, args=(sqlite_url, 30)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        await asyncio.to_thread(worker.join, 60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    async with sqlite_database.read() as conn:
        assert (await conn.execute(sa.select(accounts.c.status))).scalar_one() == "60"


async def test_a_foreign_process_that_holds_the_lock_makes_the_database_busy(tmp_path: Path) -> None:
    path = tmp_path / "busy.db"
    db = Database(f"sqlite:///{path}")
    async with db.write() as conn:
        await conn.exec_driver_sql("CREATE TABLE t (a INTEGER)")
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    async with db.read() as conn:
        await conn.exec_driver_sql("PRAGMA busy_timeout=1")
    with pytest.raises(DatabaseBusy):
        async with db.write():
            pass
    holder.close()
    await db.close()


async def test_a_connection_that_the_server_ends_is_unavailable_once_and_then_replaced(database: Database) -> None:
    if database.dialect == "sqlite":
        pytest.skip("SQLite has no server")
    mine, kill = {
        "postgresql": ("SELECT pg_backend_pid()", "SELECT pg_terminate_backend({})"),
        "mysql": ("SELECT connection_id()", "KILL {}"),
    }[database.dialect]

    async def lose_connection() -> None:
        async with database.write() as conn:
            number = (await conn.execute(sa.text(mine))).scalar_one()
            async with database.read() as other:
                await other.execute(sa.text(kill.format(int(number))))
            await conn.execute(accounts.insert().values(account()))

    with pytest.raises(DatabaseUnavailable) as caught:
        await lose_connection()
    assert caught.value.retryable
    async with database.write() as conn:
        await conn.execute(accounts.insert().values(account()))
    assert await count(database) == 1
