"""Vectors in Chroma: one collection a space, the partition in the metadata, words in the document."""

from dify_vdb_chroma.settings import ChromaSettings
from dify_vdb_chroma.store import ChromaVectorStore

__all__ = ["ChromaSettings", "ChromaVectorStore"]
