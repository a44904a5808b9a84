"""Offers the vector store `weaviate`."""

from __future__ import annotations

from collections.abc import Callable

from dify_kernel.hookspecs import hookimpl

from dify_vdb_weaviate.settings import WeaviateSettings
from dify_vdb_weaviate.store import WeaviateVectorStore

__all__ = ["register_vector_stores"]


@hookimpl
def register_vector_stores(register: Callable[..., None]) -> None:
    register("weaviate", WeaviateSettings, WeaviateVectorStore, prefix="WEAVIATE_")
