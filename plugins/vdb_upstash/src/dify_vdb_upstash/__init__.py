"""Vectors in Upstash: one namespace a partition, all in one index."""

from dify_vdb_upstash.settings import UpstashSettings
from dify_vdb_upstash.store import UpstashVectorStore

__all__ = ["UpstashSettings", "UpstashVectorStore"]
