"""Turns driver errors of the three engines into the errors of the house, in this one place.

Messages name the constraint, never the value: a value may be a secret. The driver's error stays as the cause.
"""

from __future__ import annotations

import re
import sqlite3
from typing import Any

import sqlalchemy as sa
from dify_kernel.errors import BadInput, Conflict, DifyError, PlatformUnavailable
from sqlalchemy.engine import ExceptionContext

from dify_host.db.types import NotAnId

__all__ = ["DatabaseBusy", "DatabaseDeadlock", "DatabaseError", "DatabaseUnavailable", "translate"]


class DatabaseError(DifyError):
    """The database refused a statement for a reason that is a fault of ours."""

    code = "database_error"


class DatabaseUnavailable(DatabaseError, PlatformUnavailable):
    """The database does not answer, or every connection is in use; the call may be repeated."""

    code = "database_unavailable"
    status = 503
    retryable = True


class DatabaseBusy(DatabaseError, PlatformUnavailable):
    """A deadlock, or a lock that did not come free; the transaction may be repeated."""

    code = "database_busy"
    status = 503
    retryable = True


class DatabaseDeadlock(DatabaseBusy):
    """The server rolled the transaction back, as others held what it wanted; at once it may be tried again."""


# Codes: PostgreSQL SQLSTATE, MySQL/MariaDB error numbers, SQLite extended result names.
_CONFLICT = {"23505", "23503", "1062", "1586", "1451", "1452"} | {
    f"SQLITE_CONSTRAINT_{kind}" for kind in ("UNIQUE", "PRIMARYKEY", "ROWID", "FOREIGNKEY")
}
_BAD_VALUE = {"23502", "23514", "1048", "1406", "1264", "1366", "3140"} | {
    f"SQLITE_CONSTRAINT_{kind}" for kind in ("NOTNULL", "CHECK")
}
_DEADLOCK = {"40001", "40P01", "1213"}
_BUSY = {"55P03", "1205"}
_NO_TABLE = "1146"  # SQLAlchemy asks MySQL whether a table exists by provoking this error
_AWAY = {"1040", "1053", "1203", "1226", "1927", "2002", "2003", "2006", "2013", "3169", "4031"} | {
    f"SQLITE_{kind}" for kind in ("CANTOPEN", "FULL", "IOERR")
}
_AWAY_CLASSES = ("08", "53", "57P")  # connection failure, too few resources, server shutting down


def translate(context: ExceptionContext) -> DifyError | None:
    """Return the error to raise instead of the driver's (a `handle_error` listener), or None to keep it."""
    original = context.original_exception
    if isinstance(original, DifyError):
        return None
    if isinstance(original, NotAnId):
        return BadInput(str(original), hint="An id is a UUID.")
    if isinstance(original, UnicodeEncodeError):
        return BadInput("A text holds characters that are not valid Unicode.", hint="Send well-formed UTF-8.")
    if isinstance(original, OverflowError):  # sqlite3 says so of a whole number beyond 64 bits
        return BadInput("A number is too large.", hint="Whole numbers have at most 64 bits.")
    if context.sqlalchemy_exception is None:
        return None
    code = _code_of(original)
    if code == _NO_TABLE:
        return None
    if code in _CONFLICT:
        return Conflict(f"The database refused a duplicate or dangling row ({_constraint_of(original)}).")
    if code in _BAD_VALUE or isinstance(context.sqlalchemy_exception, sa.exc.DataError):
        return BadInput("A value is missing, too long or out of range for its column.", column=_column_of(original))
    if code in _DEADLOCK:
        return DatabaseDeadlock("The database could not lock what it needs.", hint="Repeat the call.")
    if code in _BUSY or code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return DatabaseBusy("The database could not lock what it needs.", hint="Repeat the call.")
    if context.is_disconnect or code in _AWAY or code.startswith(_AWAY_CLASSES) or _is_connecting(context):
        return DatabaseUnavailable(
            "The database does not answer.",
            hint="Check that the server runs, and the URL, user and password.",
        )
    return DatabaseError(f"The database refused a statement ({type(original).__name__} {code}).")


def _code_of(error: BaseException) -> str:
    """Return the engine's own code of an error, or an empty text."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorname", "") or ""
    first = error.args[0] if error.args else ""
    if isinstance(first, int):
        return str(first)
    return getattr(error, "sqlstate", "") or ""


def _constraint_of(error: BaseException) -> str:
    """Name the constraint of a conflict: its name on servers, its columns on SQLite."""
    diagnosis: Any = getattr(error, "diag", None)
    if diagnosis is not None and diagnosis.constraint_name:
        return str(diagnosis.constraint_name)
    text = str(error.args[-1]) if error.args else ""
    found = re.search(r"for key '([^']+)'|CONSTRAINT `([^`]+)`|constraint failed: (.+)$", text)
    return next((group for group in found.groups() if group), "unnamed") if found else "unnamed"


def _column_of(error: BaseException) -> str | None:
    """Name the column that was refused, where the engine says it."""
    diagnosis: Any = getattr(error, "diag", None)
    if diagnosis is not None:
        return diagnosis.column_name or None
    text = str(error.args[-1]) if error.args else ""
    found = re.search(r"[Cc]olumn '([^']+)'|constraint failed: (\S+)$", text)
    return next((group for group in found.groups() if group), None) if found else None


def _is_connecting(context: ExceptionContext) -> bool:
    """Tell whether the error came from opening a connection."""
    return context.connection is None and isinstance(context.sqlalchemy_exception, sa.exc.OperationalError)
