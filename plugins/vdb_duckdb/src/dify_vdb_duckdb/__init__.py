"""Vectors in a DuckDB file: columns compared as a whole, without a server."""

from dify_vdb_duckdb.settings import DuckdbSettings
from dify_vdb_duckdb.store import DuckdbVectorStore

__all__ = ["DuckdbSettings", "DuckdbVectorStore"]
