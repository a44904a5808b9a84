"""Vectors in Lindorm: one index a space, partitions by routing."""

from dify_vdb_lindorm.settings import LindormSettings
from dify_vdb_lindorm.store import LindormVectorStore

__all__ = ["LindormSettings", "LindormVectorStore"]
