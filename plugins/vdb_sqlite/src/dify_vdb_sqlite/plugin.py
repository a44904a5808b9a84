"""Offers the vector store `sqlite`."""

from __future__ import annotations

from collections.abc import Callable

from dify_kernel.hookspecs import hookimpl

from dify_vdb_sqlite.settings import SqliteVectorSettings
from dify_vdb_sqlite.store import SqliteVectorStore

__all__ = ["register_vector_stores"]


@hookimpl
def register_vector_stores(register: Callable[..., None]) -> None:
    register("sqlite", SqliteVectorSettings, SqliteVectorStore, prefix="")
