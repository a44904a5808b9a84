"""Offers the vector store `opengauss`."""

from __future__ import annotations

from collections.abc import Callable

from dify_kernel.hookspecs import hookimpl

from dify_vdb_opengauss.settings import OpengaussSettings
from dify_vdb_opengauss.store import OpengaussStore

__all__ = ["register_vector_stores"]


@hookimpl
def register_vector_stores(register: Callable[..., None]) -> None:
    register("opengauss", OpengaussSettings, OpengaussStore, prefix="OPENGAUSS_")
