"""Offers the vector store `lancedb`."""

from __future__ import annotations

from collections.abc import Callable

from dify_kernel.hookspecs import hookimpl

from dify_vdb_lancedb.settings import LancedbSettings
from dify_vdb_lancedb.store import LancedbVectorStore

__all__ = ["register_vector_stores"]


@hookimpl
def register_vector_stores(register: Callable[..., None]) -> None:
    register("lancedb", LancedbSettings, LancedbVectorStore, prefix="")
