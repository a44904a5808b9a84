"""Vectors in Qdrant: one collection a space, one tenant a partition, ranked full text as sparse vectors."""

from dify_vdb_qdrant.settings import QdrantSettings
from dify_vdb_qdrant.store import QdrantVectorStore

__all__ = ["QdrantSettings", "QdrantVectorStore"]
