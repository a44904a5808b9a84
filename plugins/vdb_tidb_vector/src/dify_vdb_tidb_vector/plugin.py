"""Offers the vector store `tidb_vector`, with a hyphen, too."""

from __future__ import annotations

from collections.abc import Callable

from dify_kernel.hookspecs import hookimpl

from dify_vdb_tidb_vector.settings import TidbVectorSettings
from dify_vdb_tidb_vector.store import TidbVectorStore

__all__ = ["register_vector_stores"]


@hookimpl
def register_vector_stores(register: Callable[..., None]) -> None:
    for name in ("tidb_vector", "tidb-vector"):
        register(name, TidbVectorSettings, TidbVectorStore, prefix="TIDB_VECTOR_")
