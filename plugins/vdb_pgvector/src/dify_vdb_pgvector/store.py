"""The store: the family's, with what pgvector is told beside."""

from __future__ import annotations

from typing import Any

from dify_kernel.families.sql_array_store import ArrayVectorStore
from dify_kernel.families.sql_dialect import ArrayDialect

__all__ = ["PgvectorStore"]


class PgvectorStore(ArrayVectorStore):
    """Records in PostgreSQL with the extension pgvector, 0.8 or newer."""

    name = "PostgreSQL"
    prefix = "PGVECTOR_"
    versioned = "pgvector"
    asks_version = (
        "SELECT coalesce(installed_version, default_version) FROM pg_available_extensions WHERE name = 'vector'"
    )
    supported = ">=0.8"
    #: An index goes on until enough rows pass the filter; short queries gain nothing from being compiled.
    session = "SET hnsw.iterative_scan = strict_order; SET hnsw.ef_search = 100; SET jit = off"
    dialect = ArrayDialect(prepare=["CREATE EXTENSION IF NOT EXISTS vector"])

    def client(self) -> tuple[Any, Any]:
        import psycopg
        import psycopg_pool

        return psycopg, psycopg_pool
