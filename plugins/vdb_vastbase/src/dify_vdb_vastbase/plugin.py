"""Offers the vector store `vastbase`."""

from __future__ import annotations

from collections.abc import Callable

from dify_kernel.hookspecs import hookimpl

from dify_vdb_vastbase.settings import VastbaseSettings
from dify_vdb_vastbase.store import VastbaseStore

__all__ = ["register_vector_stores"]


@hookimpl
def register_vector_stores(register: Callable[..., None]) -> None:
    register("vastbase", VastbaseSettings, VastbaseStore, prefix="VASTBASE_")
