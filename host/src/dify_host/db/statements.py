"""Statements that each engine spells its own way: upsert, insert when missing, and inserting many rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from dify_host.db.errors import DatabaseError

__all__ = ["insert_many", "insert_missing", "put_many", "put_missing", "upsert"]

Row = Mapping[str, Any]

_CHUNK = 500


async def insert_many(conn: AsyncConnection, table: sa.Table, rows: Sequence[Row]) -> None:
    """Insert rows in groups of 500; every row must have the same keys."""
    for chunk in _chunks(table, rows):
        await conn.execute(table.insert(), chunk)


async def upsert(
    conn: AsyncConnection, table: sa.Table, rows: Sequence[Row], *, key: Sequence[str], update: Sequence[str]
) -> None:
    """Insert rows; where a row with the same `key` columns exists, set its `update` columns instead.

    They go in the order of their keys. `key` must be a primary key or a unique constraint; `updated_at` is set too
    where the table has it. On MySQL any unique constraint counts as the key, the primary key included.
    """
    changed = [*update, *(["updated_at"] if "updated_at" in table.c and "updated_at" not in update else [])]
    for chunk in _chunks(table, _in_order(rows, key)):
        await conn.execute(_conflict_insert(conn.dialect.name, table, key, changed), chunk)


async def insert_missing(conn: AsyncConnection, table: sa.Table, rows: Sequence[Row], *, key: Sequence[str]) -> None:
    """Insert rows; leave a row alone whose `key` columns exist already. They go in the order of their keys."""
    for chunk in _chunks(table, _in_order(rows, key)):
        await conn.execute(_conflict_insert(conn.dialect.name, table, key, ()), chunk)


def put_many(conn: sa.Connection, table: sa.Table, rows: Sequence[Row]) -> None:
    """`insert_many`, for what `Database.run_write` runs."""
    for chunk in _chunks(table, rows):
        conn.execute(table.insert(), chunk)


def put_missing(conn: sa.Connection, table: sa.Table, rows: Sequence[Row], *, key: Sequence[str]) -> None:
    """`insert_missing`, for what `Database.run_write` runs."""
    for chunk in _chunks(table, _in_order(rows, key)):
        conn.execute(_conflict_insert(conn.dialect.name, table, key, ()), chunk)


def _in_order(rows: Sequence[Row], key: Sequence[str]) -> list[Row]:
    """Rows by their keys: two writers of the same rows wait for each other and don't lock each other out."""
    return sorted(rows, key=lambda row: tuple(str(row.get(name)) for name in key))


def _conflict_insert(dialect: str, table: sa.Table, key: Sequence[str], update: Sequence[str]) -> sa.Insert:
    """Build the insert that handles its own conflict."""
    if dialect in ("mysql", "mariadb"):
        statement = mysql.insert(table)
        # Setting a key column to itself is how MySQL says "do nothing" without hiding other errors.
        changes = {name: statement.inserted[name] for name in update} or {key[0]: table.c[key[0]]}
        return statement.on_duplicate_key_update(changes)
    portable: Any = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    if not update:
        done_nothing: sa.Insert = portable.on_conflict_do_nothing(index_elements=list(key))
        return done_nothing
    changes = {name: portable.excluded[name] for name in update}
    updated: sa.Insert = portable.on_conflict_do_update(index_elements=list(key), set_=changes)
    return updated


def _chunks(table: sa.Table, rows: Sequence[Row]) -> Iterator[list[dict[str, Any]]]:
    """Cut rows into groups; refuse rows that differ in keys, as keys missing from the first would be lost."""
    keys = rows[0].keys() if rows else None
    for start in range(0, len(rows), _CHUNK):
        chunk = [dict(row) for row in rows[start : start + _CHUNK]]
        if any(row.keys() != keys for row in chunk):
            raise DatabaseError(f"Rows for {table.name} differ in columns.", hint="Give each row every key.")
        yield chunk
