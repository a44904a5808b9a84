"""Vectors in PostgreSQL with the extension pgvector: one table a space, words and filters under inverted indexes."""

from dify_vdb_pgvector.settings import PgvectorSettings
from dify_vdb_pgvector.store import PgvectorStore

__all__ = ["PgvectorSettings", "PgvectorStore"]
