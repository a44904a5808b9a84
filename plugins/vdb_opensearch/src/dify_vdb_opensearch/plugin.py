"""Offers the vector store `opensearch`."""

from __future__ import annotations

from collections.abc import Callable

from dify_kernel.hookspecs import hookimpl

from dify_vdb_opensearch.settings import OpenSearchSettings
from dify_vdb_opensearch.store import OpenSearchVectorStore

__all__ = ["register_vector_stores"]


@hookimpl
def register_vector_stores(register: Callable[..., None]) -> None:
    register("opensearch", OpenSearchSettings, OpenSearchVectorStore, prefix="OPENSEARCH_")
