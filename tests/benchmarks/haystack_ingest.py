"""Measures Haystack's ingest, in an environment of its own: `haystack_ingest.py TEXTS.json WORDS DIMENSION`.

Its splitter, an embedder of our own that costs nothing, its writer and its store in memory. TEXTS.json is a list of
rounds, each a list of texts. Prints CPU seconds a chunk, the best of the rounds, of cutting alone and of the whole.
"""

import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

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


def best(rounds: Sequence[Sequence[str]], work: Callable[[Sequence[str]], int]) -> float:
    """CPU seconds a chunk."""
    work(rounds[0])
    costs = []
    for texts in rounds:
        began = time.process_time()
        count = work(texts)
        costs.append((time.process_time() - began) / count)
    return min(costs)


def main(path: str, words: int, dimension: int) -> None:
    """Measure and print."""
    rounds = json.loads(Path(path).read_text())
    chance = random.Random(1)
    stock = [[chance.uniform(-1, 1) for _ in range(dimension)] for _ in range(64)]
    whole = best(rounds, lambda texts: ingest(texts, words, lambda text: stock[len(text) % 64]))
    print(json.dumps({"cut": best(rounds, lambda texts: cut(texts, words)), "whole": whole}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
