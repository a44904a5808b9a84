"""What the vector store suite writes and asks: tiny, deterministic, without ties, and hostile where that matters."""

from __future__ import annotations

import hashlib
import math
import uuid
from collections.abc import Sequence
from typing import Any

import pytest

from dify_kernel.contracts.vector import Filter, Record, Space, VectorStore
from dify_kernel.contracts.vector_rules import cosine

__all__ = [
    "NASTY",
    "OTHER_SPACE",
    "P",
    "Q",
    "SPACE",
    "SPACES",
    "X",
    "Y",
    "at_angle",
    "everything",
    "found",
    "id_of",
    "record",
    "same",
    "score_is",
    "seed",
]

SPACE = Space("suite_six", 6)
OTHER_SPACE = Space("Suite_Six", 8)
SPACES = (SPACE, OTHER_SPACE)
"""Every space the suite makes: a fixture over a shared server drops these before and after."""

P, Q = "6b1f0f2e-0000-4000-8000-000000000001", "6b1f0f2e-0000-4000-8000-000000000002"

X = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
Y = [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]

NASTY = (
    "o'brien",
    'say "hi"',
    "'; DROP TABLE records; --",
    "' OR '1'='1",
    "back\\slash \\' \\\" \\n",
    "%",
    "_",
    "100%_sure*?",
    "{curly} [square] (round) ${x} $1 :name ?",
    "`tick` && || ! ~ ^ - + < > = @ # /* c */",
    "new\nline\ttab\r",
    "知识库：检索增强",
    "ナレッジベース 지식",
    "ñandú Ünïcödé ß İ",
    "e\u0301 combining",
    "🙂👩‍👩‍👧 emoji",
    "عربى עברית",
    " leading and trailing ",
    "null",
    "true",
    "1",
    "*",
    "AND OR NOT NEAR",
    "x" * 1000,
)
"""Texts that break a query put together by hand."""


def id_of(name: object) -> str:
    """A UUID made from a name, the same in every run."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"suite {name}"))


def vector_of(name: object, dimension: int) -> list[float]:
    """A vector made from a name's hash, of any length but zero, the same in every run."""
    digest = hashlib.sha256(f"vector {name}".encode()).digest()
    return [(digest[i] - 127.5) / 64 for i in range(dimension)]


def at_angle(degrees: float, scale: float = 1.0) -> list[float]:
    """A vector at that angle to `X`: its cosine to X is known without computing it from stored numbers."""
    radians = math.radians(degrees)
    return [scale * math.cos(radians), scale * math.sin(radians), 0.0, 0.0, 0.0, 0.0]


def record(
    name: object, text: str | None = None, vector: Sequence[float] | None = None, *, dimension: int = 6, **metadata: Any
) -> Record:
    """A record whose id, text and vector follow from its name unless given."""
    return Record(
        id=id_of(name),
        text=f"text of {name}" if text is None else text,
        vector=vector_of(name, dimension) if vector is None else vector,
        metadata=metadata,
    )


async def seed(store: VectorStore, *records: Record, partition: str = P, space: Space = SPACE) -> None:
    """Make the space and write the records."""
    await store.create(space)
    await store.upsert(space, partition, records)


async def everything(store: VectorStore, partition: str = P, *, space: Space = SPACE, limit: int = 100) -> list[Record]:
    """All records of a partition, by scanning to the end; fails when a scan does not end."""
    records: list[Record] = []
    cursor = None
    for _ in range(10_000):
        page = await store.scan(space, partition, cursor=cursor, limit=limit)
        assert len(page.records) <= limit, "a page is longer than its limit"
        records += page.records
        cursor = page.cursor
        if cursor is None:
            return records
    raise AssertionError("the scan does not end")


async def found(store: VectorStore, filter: Filter | None, partition: str = P) -> set[str]:
    """The ids that a search with a filter finds among all records."""
    hits = await store.search(SPACE, partition, X, top_k=1000, filter=filter)
    assert len(hits) == len({hit.id for hit in hits}), "a record is found twice"
    return {hit.id for hit in hits}


def same(stored: Record, written: Record) -> bool:
    """Whether a record came back as it was written, its vector up to a positive factor."""
    return (
        (stored.id, stored.text, stored.metadata) == (written.id, written.text, written.metadata)
        and [type(value) for value in stored.metadata.values()] == [type(value) for value in written.metadata.values()]
        and len(stored.vector) == len(written.vector)
        and cosine(stored.vector, written.vector) == pytest.approx(1.0, abs=1e-5)
    )


def score_is(cosine: float) -> Any:
    """A score as exact as single precision gives it."""
    return pytest.approx(cosine, abs=1e-5)
