"""Offers the vector store `lindorm`."""

from __future__ import annotations

from collections.abc import Callable

from dify_kernel.hookspecs import hookimpl

from dify_vdb_lindorm.settings import LindormSettings
from dify_vdb_lindorm.store import LindormVectorStore

__all__ = ["register_vector_stores"]


@hookimpl
def register_vector_stores(register: Callable[..., None]) -> None:
    register("lindorm", LindormSettings, LindormVectorStore, prefix="LINDORM_")
