"""Offers the vector store `upstash`."""

from __future__ import annotations

from collections.abc import Callable

from dify_kernel.hookspecs import hookimpl

from dify_vdb_upstash.settings import UpstashSettings
from dify_vdb_upstash.store import UpstashVectorStore

__all__ = ["register_vector_stores"]


@hookimpl
def register_vector_stores(register: Callable[..., None]) -> None:
    register("upstash", UpstashSettings, UpstashVectorStore, prefix="UPSTASH_VECTOR_")
