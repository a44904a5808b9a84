"""Turns records into what Chroma keeps, and back.

The document is the words of the text, each between spaces, then a line's end, then the text: so that a word is found by
Chroma's own index over documents, in any script.
"""

from __future__ import annotations

import base64
import hashlib
from array import array
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
from dify_kernel.contracts.lexical import text_terms
from dify_kernel.contracts.vector import Hit, Metadata, Record
from dify_kernel.contracts.vector_rules import unit
from dify_kernel.contracts.vector_tokens import metadata_tokens

__all__ = ["KEYS", "as_vector", "key_of", "metadata_of", "text_of", "to_hit", "to_rows", "words_of"]

KEYS = 2**32
"""Keys are below this: they put the records of a partition in an order, evenly spread."""


def key_of(id: str) -> int:
    """The key of a record, made from its id."""
    return int.from_bytes(hashlib.blake2b(id.encode(), digest_size=4).digest(), "big")


def to_rows(partition: str, records: Sequence[Record], *, packed: bool) -> dict[str, Any]:
    """The body of an upsert. All four fields of the metadata are always there: Chroma keeps what is left out."""
    return {
        "ids": [record.id for record in records],
        "embeddings": [as_vector(record.vector, packed=packed) for record in records],
        "documents": [f" {' '.join(text_terms(record.text))} \n{record.text}" for record in records],
        "metadatas": [
            {
                "partition": partition,
                "key": key_of(record.id),
                "metadata": msgspec.json.encode(record.metadata).decode(),
                "tokens": metadata_tokens(record.metadata) or ["none"],
            }
            for record in records
        ],
    }


def as_vector(vector: Sequence[float], *, packed: bool) -> Any:
    """A vector of length 1 as a server takes it: numbers, or their bytes."""
    numbers = array("f", unit(vector))
    return base64.b64encode(numbers.tobytes()).decode() if packed else numbers.tolist()


def metadata_of(row: dict[str, Any]) -> Metadata:
    """A record's own metadata out of Chroma's."""
    return msgspec.json.decode(row["metadata"], type=dict)


def text_of(document: str) -> str:
    """The text out of a document."""
    return document.partition("\n")[2]


def words_of(document: str) -> Counter[str]:
    """The words of a document, counted."""
    return Counter(document.partition("\n")[0].split())


def to_hit(id: str, document: str, row: dict[str, Any], score: float) -> Hit:
    """A found record."""
    return Hit(id=id, text=text_of(document), score=score, metadata=metadata_of(row))
