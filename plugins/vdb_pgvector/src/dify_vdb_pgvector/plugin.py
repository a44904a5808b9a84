"""Offers the vector store `pgvector`."""

from __future__ import annotations

from collections.abc import Callable

from dify_kernel.hookspecs import hookimpl

from dify_vdb_pgvector.settings import PgvectorSettings
from dify_vdb_pgvector.store import PgvectorStore

__all__ = ["register_vector_stores"]


@hookimpl
def register_vector_stores(register: Callable[..., None]) -> None:
    register("pgvector", PgvectorSettings, PgvectorStore, prefix="PGVECTOR_")
