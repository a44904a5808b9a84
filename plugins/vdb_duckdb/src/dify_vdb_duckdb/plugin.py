"""Offers the vector store `duckdb`."""

from __future__ import annotations

from collections.abc import Callable

from dify_kernel.hookspecs import hookimpl

from dify_vdb_duckdb.settings import DuckdbSettings
from dify_vdb_duckdb.store import DuckdbVectorStore

__all__ = ["register_vector_stores"]


@hookimpl
def register_vector_stores(register: Callable[..., None]) -> None:
    """Offer the store; its settings are the variables `DUCKDB_…` and DIFY_DATA."""
    register("duckdb", DuckdbSettings, DuckdbVectorStore, prefix="")
