"""Vectors and full text in one SQLite file, searched exactly: the embedded default."""

from dify_vdb_sqlite.settings import SqliteVectorSettings
from dify_vdb_sqlite.store import SqliteVectorStore

__all__ = ["SqliteVectorSettings", "SqliteVectorStore"]
