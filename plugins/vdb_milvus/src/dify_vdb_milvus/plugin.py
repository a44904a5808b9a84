"""Offers the vector store `milvus`."""

from __future__ import annotations

from collections.abc import Callable

from dify_kernel.hookspecs import hookimpl

from dify_vdb_milvus.settings import MilvusSettings
from dify_vdb_milvus.store import MilvusVectorStore

__all__ = ["register_vector_stores"]


@hookimpl
def register_vector_stores(register: Callable[..., None]) -> None:
    register("milvus", MilvusSettings, MilvusVectorStore, prefix="MILVUS_")
