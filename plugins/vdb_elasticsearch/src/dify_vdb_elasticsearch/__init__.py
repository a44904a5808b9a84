"""Vectors in Elasticsearch: one index a space, partitions by routing, words and vectors in one document."""

from dify_vdb_elasticsearch.settings import ElasticsearchSettings
from dify_vdb_elasticsearch.store import ElasticsearchVectorStore

__all__ = ["ElasticsearchSettings", "ElasticsearchVectorStore"]
