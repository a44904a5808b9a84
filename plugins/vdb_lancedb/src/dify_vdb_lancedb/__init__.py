"""Vectors in LanceDB: one table a space, the partition as an indexed column, words as tokens of our own."""

from dify_vdb_lancedb.settings import LancedbSettings
from dify_vdb_lancedb.store import LancedbVectorStore

__all__ = ["LancedbSettings", "LancedbVectorStore"]
