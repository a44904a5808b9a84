"""The file, which DuckDB gives to one process at a time: several take turns.

A turn begins with the first call that needs the file and ends when none has for `IDLE`. One that has lasted `LONGEST`
takes no more calls in, so that a busy process lets the others in. Everything here blocks and runs in threads.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dify_kernel.errors import StoreUnavailable, VectorStoreError

from dify_vdb_duckdb.settings import DuckdbSettings

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from filelock import FileLock

__all__ = ["Database"]

LONGEST = 0.5
"""Seconds after which a turn takes in no more calls."""

IDLE = 0.1
"""Seconds that a turn lasts after its last call: opening the file costs more than most calls."""

_POLL = 0.005
_YIELD = 0.03  # longer than the others' pause between two looks, so that one of them is first


class Database:
    """Connections to one file, which is opened when it is needed; may be used by many threads."""

    def __init__(self, settings: DuckdbSettings) -> None:
        self._settings = settings
        self._turn: FileLock | None = None
        self._state = threading.Condition()
        self._writing = threading.Lock()
        self._connection: DuckDBPyConnection | None = None
        self._calls = 0
        self._began = self._left = 0.0
        self._closing = False
        self._timed = False

    @contextmanager
    def reading(self) -> Iterator[DuckDBPyConnection]:
        """A connection, beside other calls; what one statement reads is of one moment."""
        connection = self._enter()
        try:
            yield connection
        finally:
            self._leave(connection)

    @contextmanager
    def writing(self) -> Iterator[DuckDBPyConnection]:
        """A connection in a transaction, beside readers; writers come one after the other."""
        with self.reading() as connection, self._writing:
            connection.begin()
            try:
                yield connection
            except BaseException:
                connection.rollback()
                raise
            connection.commit()

    def begin(self) -> None:
        """Allow calls, after `finish` too."""
        self._closing = False

    def finish(self) -> None:
        """End the turn now, or as soon as the last call is done."""
        self._closing = True  # ends a wait for the turn, too, during which the state is locked
        with self._state:
            if not self._calls:
                self._end()

    def _enter(self) -> DuckDBPyConnection:
        with self._state:
            while self._is_over():
                if self._calls:
                    self._state.wait()  # until the last call of that turn ends it
                else:
                    self._end()
            if self._connection is None:
                self._connection = self._opened()
                self._began = time.monotonic()
            cursor = self._connection.cursor()
            self._calls += 1
            return cursor

    def _leave(self, cursor: DuckDBPyConnection) -> None:
        with self._state:
            cursor.close()
            self._calls -= 1
            self._left = time.monotonic()
            if self._calls:
                return
            if self._closing or self._is_over():
                self._end()
            elif not self._timed:
                self._time(IDLE)

    def _is_over(self) -> bool:
        return self._connection is not None and time.monotonic() - self._began > LONGEST

    def _time(self, seconds: float) -> None:
        self._timed = True
        timer = threading.Timer(seconds, self._end_if_idle)
        timer.daemon = True
        timer.start()

    def _end_if_idle(self) -> None:
        with self._state:
            self._timed = False
            if self._connection is None or self._calls:
                return
            idle = time.monotonic() - self._left
            if idle < IDLE:
                self._time(IDLE - idle)
            else:
                self._end()

    def _end(self) -> None:
        """Close the file, which writes what is in its log into it, and let other processes have it."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        over = time.monotonic() - self._began > LONGEST
        try:
            connection.close()
        finally:
            self._give_back()
            if over:
                time.sleep(_YIELD)
            self._state.notify_all()

    def _give_back(self) -> None:
        turn, self._turn = self._turn, None
        if turn is not None:
            turn.release()

    def _opened(self) -> DuckDBPyConnection:
        import duckdb
        from filelock import FileLock, Timeout

        path: Path = self._settings.path
        wait = self._settings.duckdb_wait
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            turn = FileLock(f"{path}.lock", thread_local=False)
            turn.acquire(timeout=wait, poll_interval=_POLL, cancel_check=lambda: self._closing)
            self._turn = turn
        except Timeout as exc:
            if self._closing:
                raise StoreUnavailable("The vector store was closed.", hint="Open it again.") from exc
            raise StoreUnavailable(
                f"Other processes kept {path} for {wait:g} seconds.",
                hint="Try again; DUCKDB_WAIT sets how long a call waits. Many processes need another store.",
            ) from exc
        except OSError as exc:
            raise StoreUnavailable(
                f"The folder of {path} cannot be used: {exc.strerror}.",
                hint="Check that DUCKDB_PATH or DIFY_DATA names a place that can be written.",
            ) from exc
        try:
            return duckdb.connect(
                str(path),
                config={
                    "threads": self._settings.duckdb_threads,
                    "memory_limit": self._settings.duckdb_memory_limit,
                    "enable_external_access": False,
                    "autoinstall_known_extensions": False,
                    "autoload_known_extensions": False,
                },
            )
        except duckdb.IOException as exc:
            self._give_back()
            raise StoreUnavailable(
                f"{path} cannot be opened: {exc}",
                hint="Check that it is a file of DuckDB, and that no other program has it open.",
            ) from exc
        except duckdb.Error as exc:
            self._give_back()
            raise VectorStoreError(f"{path} cannot be opened: {exc}") from exc
