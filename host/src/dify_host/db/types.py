"""Column types that behave alike on SQLite, PostgreSQL and MySQL/MariaDB, and the ids and times they hold.

| type      | Python            | SQLite       | PostgreSQL   | MySQL/MariaDB     |
| Id        | str, 36 chars     | CHAR(36)     | UUID         | CHAR(36) ascii    |
| Moment    | naive UTC, micros | DATETIME     | TIMESTAMP    | DATETIME(6)       |
| Json      | any JSON value    | JSON         | JSONB        | JSON              |
| JsonText  | any JSON value    | TEXT         | TEXT         | LONGTEXT          |
| LongText  | str               | TEXT         | TEXT         | LONGTEXT          |
| Blob      | bytes             | BLOB         | BYTEA        | LONGBLOB          |
| Price     | Decimal, 7 places | DOUBLE       | NUMERIC      | NUMERIC           |

`Json` is for what a query filters on; `JsonText` is for what is only written and read back: it keeps the order
of keys, and takes what JSONB refuses (NUL) or rewrites (very large numbers). In both, None is SQL NULL.
"""

from __future__ import annotations

import os
import re
import threading
import time
import uuid
from array import array
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

__all__ = [
    "Blob",
    "Id",
    "Json",
    "JsonText",
    "LongText",
    "Moment",
    "NotAnId",
    "Price",
    "decode_json",
    "encode_json",
    "new_id",
    "utc_now",
]

_MYSQL = ("mysql", "mariadb")
_PRICE_STEP = Decimal("0.0000001")
_ID_LENGTH = 36
# Nearly every id is canonical already; a pattern tells at a tenth of what parsing a UUID costs.
_CANONICAL = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_last_tick = 0
_tick_lock = threading.Lock()
# Random numbers in stock: each trip to the system gives the interpreter to another thread, and waiting until it is
# given back costs more than the rest of an id. A forked process must not go on with its parent's stock.
_STOCK_BYTES = 2048
_stock: list[int] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_stock.clear)


def new_id() -> str:
    """Make an id: a version 7 UUID (RFC 9562) as text; the ids of one process sort in the order of making."""
    global _last_tick  # noqa: PLW0603 - the order within a process needs the last value handed out
    # 48 bits of milliseconds followed by 12 bits of the fraction, counted as one number of 60 bits.
    tick = (time.time_ns() << 12) // 1_000_000
    with _tick_lock:
        tick = max(tick, _last_tick + 1)
        _last_tick = tick
        if not _stock:
            _stock.extend(array("Q", os.urandom(_STOCK_BYTES)))
        chance = _stock.pop() >> 2
    value = (tick >> 12) << 80 | 0x7 << 76 | (tick & 0xFFF) << 64 | 0b10 << 62 | chance
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def utc_now() -> datetime:
    """Return the time of this process as the database keeps it: naive, in UTC, with microseconds."""
    return datetime.now(UTC).replace(tzinfo=None)


def encode_json(value: Any) -> str:
    """Write a value (structs included) as JSON text; NaN and the infinities become null."""
    return msgspec.json.encode(value).decode()


def decode_json(text: str | bytes) -> Any:
    """Read JSON text into plain dicts, lists, strings, numbers, booleans and None."""
    return msgspec.json.decode(text)


class NotAnId(ValueError):
    """A text that should be an id is not one; callers of the database see `BadInput`."""


class Id(TypeDecorator[str]):
    """A UUID as lower-case text with hyphens; any other text is refused with `BadInput`, on every engine."""

    impl = sa.CHAR
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Use the native type on PostgreSQL and a byte-compared CHAR elsewhere."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(sa.Uuid(as_uuid=False))
        if dialect.name in _MYSQL:
            return dialect.type_descriptor(mysql.CHAR(_ID_LENGTH, charset="ascii", collation="ascii_bin"))
        return dialect.type_descriptor(sa.CHAR(_ID_LENGTH))

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Check the text and bring it to the canonical form."""
        if value is None or (type(value) is str and _CANONICAL.fullmatch(value)):
            return value
        try:
            return str(uuid.UUID(value))
        except (ValueError, AttributeError, TypeError) as exc:
            raise NotAnId(f"{str(value)[:64]!r} is not an id.") from exc


class Moment(TypeDecorator[datetime]):
    """A point in time: stored and returned as naive UTC with microseconds; an aware value is converted."""

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Ask MySQL for microseconds, which it drops otherwise."""
        if dialect.name in _MYSQL:
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(sa.DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Drop the zone after moving the value to UTC."""
        if value is None or value.tzinfo is None:
            return value
        return value.astimezone(UTC).replace(tzinfo=None)


class LongText(TypeDecorator[str]):
    """Text without a length limit; NUL, which PostgreSQL cannot hold, is stored as U+FFFD on every engine."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Use LONGTEXT on MySQL, whose TEXT ends at 64 KiB."""
        return dialect.type_descriptor(mysql.LONGTEXT() if dialect.name in _MYSQL else sa.Text())

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Replace NUL characters."""
        return value.replace("\x00", "\ufffd") if value is not None and "\x00" in value else value


class JsonText(TypeDecorator[Any]):
    """A JSON value kept as text: order of keys and every character survive; not made for filtering."""

    impl = LongText
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Encode; None stays NULL."""
        return None if value is None else encode_json(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Decode; an empty text, as older rows may have, reads as None."""
        return decode_json(value) if value else None


class Price(TypeDecorator[Decimal]):
    """An amount of money with seven decimal places; sums work in SQL."""

    impl = sa.Numeric
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Use a double on SQLite, which has no decimals; it carries 15 digits."""
        return dialect.type_descriptor(sa.Double() if dialect.name == "sqlite" else sa.Numeric(18, 7))

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        """Round to the stored precision."""
        if value is None:
            return None
        rounded = Decimal(value).quantize(_PRICE_STEP)
        return float(rounded) if dialect.name == "sqlite" else rounded

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        """Return a Decimal with seven places."""
        return None if value is None else Decimal(str(value)).quantize(_PRICE_STEP)


def Json() -> TypeEngine[Any]:
    """Build the type of a JSON value that queries may filter on."""
    return sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def Blob() -> TypeEngine[bytes]:
    """Build the type of raw bytes without a length limit."""
    return sa.LargeBinary().with_variant(mysql.LONGBLOB(), *_MYSQL)
