"""Turns records into what Redis keeps, and back.

A word of a text is a member of a sorted set without scores: the word, the record's id, how often the text has it, and
how many words the text has. All records with a word are a range of it.
"""

from __future__ import annotations

import hashlib
import struct
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from uuid import UUID

import msgspec
from dify_kernel.contracts.lexical import text_terms
from dify_kernel.contracts.vector import Metadata, Record
from dify_kernel.contracts.vector_rules import unit

from dify_vdb_redis.filters import attributes_of

__all__ = ["Held", "Keys", "batches", "metadata_of", "range_of", "to_arguments", "to_bytes", "to_vector", "word_of"]

RECORDS, BYTES = 10, 1_000_000
"""How much one script writes: it holds up everybody else."""

_TAIL = struct.Struct(">16sII")


class Keys(msgspec.Struct, frozen=True):
    """The keys of a partition, in the order of the script: of its space, then its own."""

    dimension: bytes
    partitions: bytes
    vectors: bytes
    metadata: bytes
    texts: bytes
    order: bytes
    words: bytes

    @classmethod
    def of(cls, prefix: str, space: str, partition: str) -> Keys:
        """The name of a space has no colon, so that the partition may have any."""
        start = f"{prefix}:{space}"
        own = [f"{start}:{kind}:{partition}" for kind in ("vectors", "metadata", "texts", "order", "words")]
        return cls(*[key.encode() for key in (start, f"{start}:partitions", *own)])

    @property
    def every(self) -> list[bytes]:
        """All of them."""
        return [self.dimension, self.partitions, *self.own]

    @property
    def own(self) -> list[bytes]:
        """Those that hold the partition."""
        return [self.vectors, self.metadata, self.texts, self.order, self.words]


class Held(msgspec.Struct, frozen=True):
    """What the server held of a record when it was asked."""

    metadata: bytes
    text: bytes


def to_arguments(id: str, held: Held | None, record: Record | None) -> list[bytes | str | int]:
    """What the script takes for one record: what it replaces, and what comes instead, which None is nothing."""
    old = [] if held is None else _words(id, held.text.decode())
    seen = "" if held is None else hashlib.sha1(held.metadata + held.text, usedforsecurity=False).hexdigest()
    if record is None:
        return [id, seen, len(old), *old, -1]
    new = _words(id, record.text)
    metadata = msgspec.json.encode(record.metadata)
    kept = [to_bytes(record.vector), attributes_of(record.metadata), metadata, record.text.encode()]
    return [id, seen, len(old), *old, len(new), *kept, *new]


def batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Records for one script each."""
    batch: list[Record] = []
    size = 0
    for record in records:
        batch.append(record)
        size += 4 * len(record.vector) + 10 * len(record.text)
        if len(batch) == RECORDS or size > BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def to_bytes(vector: Sequence[float]) -> bytes:
    """A vector of length 1 in single precision."""
    return array("f", unit(vector)).tobytes()


def to_vector(data: bytes) -> list[float]:
    """The numbers of a vector."""
    return array("f", data).tolist()


def metadata_of(data: bytes) -> Metadata:
    """The metadata as it was written."""
    return msgspec.json.decode(data, type=Metadata)


def range_of(term: str) -> tuple[bytes, bytes]:
    """The first and the last member of a word."""
    word = term.encode(errors="replace")
    return b"[" + word + b"\0", b"(" + word + b"\1"


def word_of(member: bytes) -> tuple[str, int, int]:
    """The id of a member, how often its text has the word, and how many words it has."""
    id, count, length = _TAIL.unpack(member[-_TAIL.size :])
    return str(UUID(bytes=id)), count, length


def _words(id: str, text: str) -> list[bytes]:
    counts = Counter(text_terms(text))
    number, length = UUID(id).bytes, counts.total()
    return [term.encode() + b"\0" + _TAIL.pack(number, count, length) for term, count in counts.items()]
