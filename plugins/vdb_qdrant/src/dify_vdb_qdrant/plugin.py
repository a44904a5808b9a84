"""Offers the vector store `qdrant`."""

from __future__ import annotations

from collections.abc import Callable

from dify_kernel.hookspecs import hookimpl

from dify_vdb_qdrant.settings import QdrantSettings
from dify_vdb_qdrant.store import QdrantVectorStore

__all__ = ["register_vector_stores"]


@hookimpl
def register_vector_stores(register: Callable[..., None]) -> None:
    register("qdrant", QdrantSettings, QdrantVectorStore, prefix="QDRANT_")
