"""Vectors in Redis: one vector set a partition, with texts, metadata and words in keys beside it."""

from dify_vdb_redis.settings import RedisSettings
from dify_vdb_redis.store import RedisVectorStore

__all__ = ["RedisSettings", "RedisVectorStore"]
