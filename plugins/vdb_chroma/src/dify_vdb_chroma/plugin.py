"""Offers the vector store `chroma`."""

from __future__ import annotations

from collections.abc import Callable

from dify_kernel.hookspecs import hookimpl

from dify_vdb_chroma.settings import ChromaSettings
from dify_vdb_chroma.store import ChromaVectorStore

__all__ = ["register_vector_stores"]


@hookimpl
def register_vector_stores(register: Callable[..., None]) -> None:
    register("chroma", ChromaSettings, ChromaVectorStore, prefix="CHROMA_")
