"""Vectors in Milvus: one collection a space, the partition as partition key, words as terms of our own."""

from dify_vdb_milvus.settings import MilvusSettings
from dify_vdb_milvus.store import MilvusVectorStore

__all__ = ["MilvusSettings", "MilvusVectorStore"]
