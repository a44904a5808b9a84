"""Turns records into rows and back: long texts in pieces, metadata as JSON, words as short terms.

A word of a text is eight letters and digits made of its hash, so that every analyzer takes it as one word, whatever its
script.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from dify_kernel.contracts.lexical import query_terms, text_terms
from dify_kernel.contracts.vector import Hit, Metadata, Record
from dify_kernel.contracts.vector_fit import split_text
from dify_kernel.contracts.vector_rules import unit
from dify_kernel.contracts.vector_tokens import metadata_tokens
from dify_kernel.errors import InvalidQuery

from dify_vdb_milvus.filters import key_of

__all__ = ["FOUND", "LONGEST", "MOST_TOKENS", "STORED", "batches", "query_words", "text_words", "to_hit", "to_record"]
__all__ += ["KEYS", "metadata_of", "ordering_key", "text_of", "to_row"]

LONGEST = 65_535
"""Bytes of the longest string."""
MOST_TOKENS = 4_096
"""The longest array."""
FOUND = ["text", "rest", "metadata"]
STORED = ["id", *FOUND, "vector"]
_ROWS, _BYTES = 500, 4_000_000


KEYS = 2**32
"""Ordering keys are below this: evenly spread, they cut a partition into stretches."""


def ordering_key(id: str) -> int:
    """The place of a record in a scan, made from its id."""
    return int.from_bytes(hashlib.blake2b(id.encode(), digest_size=4).digest(), "big")


def batches(records: Sequence[Record]) -> Iterator[list[Record]]:
    """Records in parts that fit into a request."""
    part: list[Record] = []
    size = 0
    for record in records:
        size += 3 * len(record.text) + 16 * len(record.vector)
        part.append(record)
        if len(part) >= _ROWS or size > _BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part


def to_row(partition: str, record: Record) -> dict[str, Any]:
    """A record as a row; InvalidQuery when its metadata has more fields and items than an array may hold."""
    tokens = metadata_tokens(record.metadata)
    if len(tokens) > MOST_TOKENS:
        raise InvalidQuery(
            f"The metadata of record {record.id} has too many fields and items for Milvus.",
            hint=f"At most {MOST_TOKENS // 2} fields are kept.",
        )
    first, *rest = split_text(record.text, LONGEST)
    return {
        "id": record.id,
        "partition": key_of(partition),
        "ordering": ordering_key(record.id),
        "text": first,
        "rest": rest,
        "metadata": msgspec.json.encode(record.metadata).decode(),
        "tokens": tokens,
        "words": text_words(record.text),
        "vector": unit(record.vector),
    }


def text_words(text: str) -> str:
    """The words of a text; each once when all of them do not fit, and those that fit when these do not."""
    words = [_short(term) for term in text_terms(text)]
    most = (LONGEST + 1) // 9
    if len(words) > most:
        words = list(dict.fromkeys(words))[:most]
    return " ".join(words)


def query_words(query: str) -> str:
    """The words of a query."""
    return " ".join(_short(term) for term in query_terms(query))


def metadata_of(row: dict[str, Any]) -> Metadata:
    """The metadata of a row."""
    return msgspec.json.decode(row["metadata"], type=dict)


def text_of(row: dict[str, Any]) -> str:
    """The text of a row."""
    return "".join([row["text"], *(row["rest"] or [])])


def to_record(row: dict[str, Any]) -> Record:
    """A row read with the fields STORED."""
    return Record(id=row["id"], text=text_of(row), vector=[*map(float, row["vector"])], metadata=metadata_of(row))


def to_hit(id: str, row: dict[str, Any], score: float) -> Hit:
    """A row read with the fields FOUND."""
    return Hit(id=id, text=text_of(row), score=score, metadata=metadata_of(row))


def _short(term: str) -> str:
    digest = hashlib.blake2b(term.encode(errors="replace"), digest_size=5).digest()
    return base64.b32hexencode(digest).decode().lower()
