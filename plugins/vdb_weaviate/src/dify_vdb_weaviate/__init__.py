"""Vectors in Weaviate: one collection a space, a tenant for each partition, words in a property of their own."""

from dify_vdb_weaviate.settings import WeaviateSettings
from dify_vdb_weaviate.store import WeaviateVectorStore

__all__ = ["WeaviateSettings", "WeaviateVectorStore"]
