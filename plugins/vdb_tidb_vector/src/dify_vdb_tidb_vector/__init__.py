"""Vectors in TiDB or TiDB Cloud: one table a space, and words under a multi-valued index."""

from dify_vdb_tidb_vector.settings import TidbVectorSettings
from dify_vdb_tidb_vector.store import TidbVectorStore

__all__ = ["TidbVectorSettings", "TidbVectorStore"]
