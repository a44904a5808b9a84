"""Offers the vector store `redis`."""

from __future__ import annotations

from collections.abc import Callable

from dify_kernel.hookspecs import hookimpl

from dify_vdb_redis.settings import RedisSettings
from dify_vdb_redis.store import RedisVectorStore

__all__ = ["register_vector_stores"]


@hookimpl
def register_vector_stores(register: Callable[..., None]) -> None:
    register("redis", RedisSettings, RedisVectorStore, prefix="REDIS_VECTOR_")
