"""Offers the vector stores `oceanbase` and `seekdb`: one store, and one set of settings."""

from __future__ import annotations

from collections.abc import Callable

from dify_kernel.hookspecs import hookimpl

from dify_vdb_oceanbase.settings import OceanbaseSettings
from dify_vdb_oceanbase.store import OceanbaseStore

__all__ = ["register_vector_stores"]


@hookimpl
def register_vector_stores(register: Callable[..., None]) -> None:
    register("oceanbase", OceanbaseSettings, OceanbaseStore, prefix="OCEANBASE_")
    register("seekdb", OceanbaseSettings, OceanbaseStore, prefix="OCEANBASE_")
