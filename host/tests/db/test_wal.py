"""A new SQLite file is brought to write-ahead logging while another process holds it."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
from dify_host.db.wal import enter_wal


class Tried:
    """A cursor of the file that tells when the switch was tried."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.once = threading.Event()
        self.mode = ""

    def enter(self) -> None:
        """Switch, as a connection of another thread does."""
        connection = sqlite3.connect(self._path, timeout=0)
        self._cursor = connection.cursor()
        enter_wal(self, 30)
        (self.mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        connection.close()

    def execute(self, statement: str) -> None:
        """Try, and tell so."""
        try:
            self._cursor.execute(statement)
        finally:
            self.once.set()


@pytest.fixture
def held(tmp_path: Path) -> sqlite3.Connection:
    """A connection that holds a new file."""
    connection = sqlite3.connect(tmp_path / "new.db", isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    return connection


def test_the_switch_is_tried_until_the_other_lets_go(held: sqlite3.Connection, tmp_path: Path) -> None:
    tried = Tried(tmp_path / "new.db")
    thread = threading.Thread(target=tried.enter)
    thread.start()
    assert tried.once.wait(30)
    held.execute("COMMIT")
    thread.join(30)
    held.close()
    assert tried.mode == "wal"


def test_one_that_does_not_let_go_is_told(held: sqlite3.Connection, tmp_path: Path) -> None:
    waiting = sqlite3.connect(tmp_path / "new.db", timeout=0)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        enter_wal(waiting.cursor(), 0.05)
    held.close()
    waiting.close()


def test_another_fault_is_not_tried_again(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database at all, but long enough to have a header" * 20)
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        enter_wal(sqlite3.connect(tmp_path / "text.db").cursor(), 30)
