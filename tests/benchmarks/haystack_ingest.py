"""Haystack's ingest: its splitter, an embedder of our own, its writer and its store in memory.

Without postponed annotations: Haystack reads those of a component when it is made.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from haystack import Document, Pipeline, component
from haystack.components.preprocessors import DocumentSplitter
from haystack.components.writers import DocumentWriter
from haystack.document_stores.in_memory import InMemoryDocumentStore

__all__ = ["cut", "ingest"]

Vector = Callable[[str], list[float]]


@component
class StockEmbedder:
    """Puts a vector on each document."""

    def __init__(self, vector: Vector) -> None:
        self._vector = vector

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, list[Document]]:
        """Vectors from the stock."""
        return {"documents": [replace(item, embedding=self._vector(item.content or "")) for item in documents]}


def ingest(texts: Sequence[str], words: int, vector: Vector) -> int:
    """Put the texts into a new store, cut into so many words; returns how many chunks there are."""
    store = InMemoryDocumentStore()
    pipeline = Pipeline()
    pipeline.add_component("splitter", DocumentSplitter(split_by="word", split_length=words, split_overlap=0))
    pipeline.add_component("embedder", StockEmbedder(vector))
    pipeline.add_component("writer", DocumentWriter(document_store=store))
    pipeline.connect("splitter.documents", "embedder.documents")
    pipeline.connect("embedder.documents", "writer.documents")
    pipeline.run({"splitter": {"documents": [Document(content=text) for text in texts]}})
    return store.count_documents()


def cut(texts: Sequence[str], words: int) -> int:
    """Cut the texts into so many words; returns how many chunks there are."""
    splitter = DocumentSplitter(split_by="word", split_length=words, split_overlap=0)
    return len(splitter.run(documents=[Document(content=text) for text in texts])["documents"])
