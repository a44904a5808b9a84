"""Tells without alembic whether a SQLite database is at the newest revision, which saves a start much of its time."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from urllib.parse import quote

__all__ = ["is_newest"]

_VERSIONS = Path(__file__).parent / "migrations" / "versions"


def is_newest(url: str) -> bool:
    """Whether nothing is to be upgraded; any doubt means no, and every other engine too: then the upgrade looks.

    Revisions are named after their numbers, `0001_first.py` being 0001.
    """
    scheme, _, path = url.partition(":///")
    if not scheme.startswith("sqlite") or "?" in path or not Path(path).is_file():
        return False
    newest = max(file.stem.partition("_")[0] for file in _VERSIONS.glob("[0-9]*.py"))
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True)) as connection:
            return bool(connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(newest,)])
    except sqlite3.Error:
        return False
