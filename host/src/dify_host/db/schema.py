"""The one MetaData, and short constructors for tables and columns so that a table reads a line a column.

Every `table` has a primary key `id` (made by `new_id`), `created_at` and, unless its rows never change,
`updated_at`; they fill themselves. There are no foreign keys: relations are kept by the services, which delete
in the order and at the pace they need. Names are Dify's.
"""

from __future__ import annotations

import hashlib
from typing import Any

import sqlalchemy as sa

from dify_host.db.types import Blob, Id, Json, JsonText, LongText, Moment, Price, new_id, utc_now

__all__ = [
    "bare_table",
    "big_integer",
    "blob",
    "flag",
    "index",
    "integer",
    "json",
    "json_text",
    "long_text",
    "metadata",
    "moment",
    "price",
    "real",
    "ref",
    "string",
    "table",
    "unique",
]

_LONGEST_NAME = 56  # PostgreSQL cuts identifiers at 63 bytes, MySQL at 64; the prefix takes a few


def _columns_name(item: sa.Index | sa.Constraint, table: sa.Table) -> str:
    """Name an index after its table and columns; a long name is cut and ends in a digest."""
    columns = item.columns if isinstance(item, sa.Index | sa.UniqueConstraint) else ()
    full = "_".join([table.name, *(column.name for column in columns)])
    if len(full) <= _LONGEST_NAME:
        return full
    digest = hashlib.sha256(full.encode()).hexdigest()[:8]
    return f"{full[: _LONGEST_NAME - 9]}_{digest}"


metadata = sa.MetaData(
    naming_convention={
        "columns": _columns_name,
        "ix": "ix_%(columns)s",
        "uq": "uq_%(columns)s",
    }
)


def bare_table(name: str, *items: sa.schema.SchemaItem) -> sa.Table:
    """Define a table with exactly these columns; on MySQL text compares byte by byte, as elsewhere."""
    return sa.Table(
        name,
        metadata,
        *items,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mariadb_engine="InnoDB",
        mariadb_charset="utf8mb4",
        mariadb_collate="utf8mb4_bin",
    )


def table(name: str, *items: sa.schema.SchemaItem, updated: bool = True) -> sa.Table:
    """Define a table with `id` and `created_at`, and `updated_at` unless its rows never change."""
    head: list[sa.schema.SchemaItem] = [sa.Column("id", Id(), primary_key=True, default=new_id)]
    tail: list[sa.schema.SchemaItem] = [sa.Column("created_at", Moment(), nullable=False, default=utc_now)]
    if updated:
        tail.append(sa.Column("updated_at", Moment(), nullable=False, default=utc_now, onupdate=utc_now))
    columns = [item for item in items if isinstance(item, sa.Column)]
    others = [item for item in items if not isinstance(item, sa.Column)]
    return bare_table(name, *head, *columns, *tail, *others)


def index(*columns: str) -> sa.Index:
    """Index these columns of the table it stands in."""
    return sa.Index(None, *columns)


def unique(*columns: str) -> sa.UniqueConstraint:
    """Allow each combination of these columns once; NULLs never collide."""
    return sa.UniqueConstraint(*columns)


def ref(name: str, *, null: bool = False, primary_key: bool = False) -> sa.Column[Any]:
    """Hold the id of a row of another table."""
    return sa.Column(name, Id(), nullable=null and not primary_key, primary_key=primary_key)


def string(
    name: str, length: int = 255, *, null: bool = False, default: str | None = None, primary_key: bool = False
) -> sa.Column[Any]:
    """Hold text of a bounded length in characters."""
    nullable = null and not primary_key
    return sa.Column(name, sa.String(length), nullable=nullable, server_default=default, primary_key=primary_key)


def long_text(name: str, *, null: bool = True) -> sa.Column[Any]:
    """Hold text of any length."""
    return sa.Column(name, LongText(), nullable=null)


def json(name: str, *, null: bool = True) -> sa.Column[Any]:
    """Hold a JSON value that queries filter on."""
    return sa.Column(name, Json(), nullable=null)


def json_text(name: str, *, null: bool = True) -> sa.Column[Any]:
    """Hold a JSON value that is only written and read back."""
    return sa.Column(name, JsonText(), nullable=null)


def blob(name: str, *, null: bool = False) -> sa.Column[Any]:
    """Hold raw bytes."""
    return sa.Column(name, Blob(), nullable=null)


def moment(name: str, *, null: bool = True) -> sa.Column[Any]:
    """Hold a point in time."""
    return sa.Column(name, Moment(), nullable=null)


def flag(name: str, default: bool = False) -> sa.Column[Any]:
    """Hold yes or no."""
    return sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.true() if default else sa.false())


def integer(name: str, default: int | None = 0, *, null: bool = False) -> sa.Column[Any]:
    """Hold a whole number of 32 bits; a nullable one has no default."""
    return _number(name, sa.Integer(), None if null else default, null)


def big_integer(name: str, default: int | None = 0, *, null: bool = False) -> sa.Column[Any]:
    """Hold a whole number of 64 bits; a nullable one has no default."""
    return _number(name, sa.BigInteger(), None if null else default, null)


def real(name: str, default: float | None = 0, *, null: bool = False) -> sa.Column[Any]:
    """Hold a floating-point number of 64 bits; a nullable one has no default."""
    return _number(name, sa.Double(), None if null else default, null)


def price(name: str, *, null: bool = False) -> sa.Column[Any]:
    """Hold an amount of money."""
    return _number(name, Price(), None if null else 0, null)


def _number(name: str, kind: sa.types.TypeEngine[Any], default: float | None, null: bool) -> sa.Column[Any]:
    server_default = None if default is None else sa.text(str(default))
    return sa.Column(name, kind, nullable=null, server_default=server_default)
