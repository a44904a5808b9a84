"""The store: the family's, over a pool of psycopg."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

from dify_kernel.families.sql_dialect import ArrayDialect
from dify_kernel.families.sql_faults import Fault
from dify_kernel.families.sql_vectors import Pool, SqlVectorStore

from dify_vdb_pgvector.settings import PgvectorSettings

__all__ = ["PgvectorStore"]

#: An index goes on until enough rows pass the filter; short queries gain nothing from being compiled.
SESSION = "SET hnsw.iterative_scan = strict_order; SET hnsw.ef_search = 100; SET jit = off"
WAIT = 10.0
_HINT = "Check PGVECTOR_HOST and PGVECTOR_PORT, and that it runs."
_REFUSED = "Check PGVECTOR_USER, PGVECTOR_PASSWORD and PGVECTOR_DATABASE, and what the user may do."


class PgvectorStore(SqlVectorStore):
    """Records in PostgreSQL with the extension pgvector, 0.8 or newer."""

    dialect = ArrayDialect(prepare=["CREATE EXTENSION IF NOT EXISTS vector"])

    def __init__(self, settings: PgvectorSettings) -> None:
        super().__init__()
        self._settings = settings

    async def connect(self) -> Pool:
        client: Any = await asyncio.to_thread(importlib.import_module, "psycopg")
        pools: Any = await asyncio.to_thread(importlib.import_module, "psycopg_pool")
        settings = self._settings
        options = {
            "host": settings.host,
            "port": settings.port,
            "user": settings.user,
            "password": settings.password.reveal() or None,
            "dbname": settings.database,
            "application_name": "dify",
            "connect_timeout": int(WAIT),
            "keepalives_idle": 60,
            "autocommit": True,
            # Planned anew each time: the plan depends on the partition, and a pooler knows no prepared names.
            "prepare_threshold": None,
        }
        await (await client.AsyncConnection.connect(**options)).close()
        pool = pools.AsyncConnectionPool(
            kwargs=options,
            min_size=settings.min_connection,
            max_size=max(settings.min_connection, settings.max_connection),
            timeout=WAIT,
            configure=_configure,
            open=False,
        )
        await pool.open()
        return pool  # type: ignore[no-any-return]

    def fault(self, exc: Exception) -> Fault | None:
        if not type(exc).__module__.startswith("psycopg"):
            return None
        server = f"PostgreSQL at {self._settings.host}:{self._settings.port}"
        state = getattr(exc, "sqlstate", None) or ""
        tried = getattr(exc, "pgconn", None)
        if not state and tried is not None and (tried.used_password or tried.needs_password):
            state = "28000"  # the client gives no code for a connection that was not made
        return Fault(state, str(exc), server, _REFUSED if state.startswith(("28", "42")) else _HINT)


async def _configure(connection: Any) -> None:
    await connection.execute(SESSION)
