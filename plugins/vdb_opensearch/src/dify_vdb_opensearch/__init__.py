"""Vectors in OpenSearch: one index a space, partitions by routing, words and vectors in one document."""

from dify_vdb_opensearch.settings import OpenSearchSettings
from dify_vdb_opensearch.store import OpenSearchVectorStore

__all__ = ["OpenSearchSettings", "OpenSearchVectorStore"]
