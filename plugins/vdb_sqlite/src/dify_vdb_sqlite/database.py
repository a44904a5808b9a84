"""The file: its tables, its connections, and its errors in the contract's words.

One row of a partition has one key in all its tables: the partition's number in the upper half, a number that only
grows in the lower. A partition is therefore one contiguous range, and ten thousand of them are still as many tables.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dify_kernel.errors import DifyError, InvalidQuery, StoreUnavailable, VectorStoreError

if TYPE_CHECKING:
    import apsw

__all__ = ["KEY_BITS", "Database", "keys_of"]

KEY_BITS = 32
BUSY_MS = 10_000
MAPPED = 1 << 28
"""Bytes of the file, from its start, that are read without copying them; the system may take them back at any time."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS spaces (
  id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, dimension INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS partitions (
  id INTEGER PRIMARY KEY AUTOINCREMENT, space_id INTEGER NOT NULL, name TEXT NOT NULL, next INTEGER NOT NULL DEFAULT 0,
  levels BLOB, gone INTEGER NOT NULL DEFAULT 0,
  UNIQUE (space_id, name));
CREATE TABLE IF NOT EXISTS vectors (key INTEGER PRIMARY KEY, vector BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS facts (key INTEGER PRIMARY KEY, metadata BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS codes (key INTEGER PRIMARY KEY, code BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS texts (
  key INTEGER PRIMARY KEY, partition_id INTEGER NOT NULL, id TEXT NOT NULL, text TEXT NOT NULL,
  UNIQUE (partition_id, id));
CREATE VIRTUAL TABLE IF NOT EXISTS terms USING fts5 (words, content='', contentless_delete=1, tokenize='ascii');
"""

#: Brings a file of an earlier version along, whose metadata stood beside the vectors.
_MOVE_METADATA = """
INSERT INTO facts (key, metadata) SELECT key, metadata FROM vectors;
ALTER TABLE vectors DROP COLUMN metadata;
"""

#: The same for codes, which stood beside the metadata: a pass over them reads nothing else now.
_MOVE_CODES = """
INSERT INTO codes (key, code) SELECT key, code FROM facts WHERE code IS NOT NULL;
ALTER TABLE facts DROP COLUMN code;
"""

#: The same for how many of the keys that were given are free again.
_COUNT_GONE = """
ALTER TABLE partitions ADD COLUMN gone INTEGER NOT NULL DEFAULT 0;
UPDATE partitions SET gone = next - (SELECT count(*) FROM texts WHERE partition_id = partitions.id);
"""


def keys_of(partition: int) -> tuple[int, int]:
    """The first and the last key that a record of the partition may have."""
    return partition << KEY_BITS, ((partition + 1) << KEY_BITS) - 1


class Database:
    """Connections to one file, made when needed and kept; any number of processes may have it open."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: list[apsw.Connection] = []
        self._lock = threading.Lock()
        self._closed = False

    def prepare(self) -> None:
        """Make the folder, the file and its tables where they are missing."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise StoreUnavailable(f"The folder of {self._path} cannot be made: {exc}.", hint=self._hint) from exc
        with self.write() as db:
            db.execute(_SCHEMA)
            if any(column[1] == "metadata" for column in db.execute("PRAGMA table_info(vectors)")):
                db.execute(_MOVE_METADATA)
            if any(column[1] == "code" for column in db.execute("PRAGMA table_info(facts)")):
                db.execute(_MOVE_CODES)
            columns = {column[1] for column in db.execute("PRAGMA table_info(partitions)")}
            if "levels" not in columns:
                db.execute("ALTER TABLE partitions ADD COLUMN levels BLOB")
            if "gone" not in columns:
                db.execute(_COUNT_GONE)

    def close(self) -> None:
        """Close idle connections now and busy ones when they are done."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    @contextmanager
    def read(self) -> Iterator[apsw.Connection]:
        """A connection that sees one state of the file throughout."""
        with self._translated(), self._connection() as db:
            db.execute("BEGIN")
            try:
                yield db
            finally:
                db.execute("ROLLBACK")

    @contextmanager
    def write(self) -> Iterator[apsw.Connection]:
        """A connection in a transaction that holds the file's one write lock from its start."""
        with self._translated(), self._connection() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            finally:
                if db.in_transaction:  # a full disk, for one, has rolled it back already
                    db.execute("ROLLBACK")

    @contextmanager
    def _connection(self) -> Iterator[apsw.Connection]:
        with self._lock:
            if self._closed:
                raise StoreUnavailable("The vector store is closed.", hint="Call open first.")
            connection = self._idle.pop() if self._idle else None
        connection = connection or self._connect()
        try:
            yield connection
        finally:
            with self._lock:
                keep = not self._closed
                if keep:
                    self._idle.append(connection)
            if not keep:
                connection.close()

    def _connect(self) -> apsw.Connection:
        import apsw
        import sqlite_vec

        connection = apsw.Connection(str(self._path))
        connection.set_busy_timeout(BUSY_MS)
        connection.execute("PRAGMA page_size = 8192")
        self._enter_wal(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
        # Searches read far more than a cache of bounded size holds: they read the system's own pages, without a copy.
        connection.execute(f"PRAGMA mmap_size = {MAPPED}")
        connection.execute("PRAGMA cache_size = -8192")
        connection.enable_load_extension(True)
        connection.load_extension(sqlite_vec.loadable_path())
        connection.enable_load_extension(False)
        return connection

    def _enter_wal(self, connection: apsw.Connection) -> None:
        """Changing the mode of a new file does not wait for the lock of another process: try until it gives way."""
        import apsw

        deadline = time.monotonic() + BUSY_MS / 1000
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                return
            except apsw.BusyError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        import apsw

        try:
            yield
        except DifyError:
            raise
        except UnicodeEncodeError as exc:
            raise InvalidQuery(f"A text of the call is not valid Unicode: {exc.reason}.") from exc
        except (apsw.NotADBError, apsw.CorruptError) as exc:
            raise VectorStoreError(
                f"{self._path} is not a usable SQLite file: {exc}.",
                hint="Move it away and index the knowledge bases again.",
                path=str(self._path),
            ) from exc
        except apsw.SQLError as exc:
            raise VectorStoreError(
                f"SQLite on {self._path} refused a statement: {exc}.",
                hint="The file was made by something else or by another version: move it away and index again.",
                path=str(self._path),
            ) from exc
        except apsw.Error as exc:
            raise StoreUnavailable(f"SQLite on {self._path}: {exc}.", hint=self._hint, path=str(self._path)) from exc

    @property
    def _hint(self) -> str:
        return "Check that DIFY_DATA or SQLITE_VEC_PATH names a place that can be written and has room."
