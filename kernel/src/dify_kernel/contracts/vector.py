"""The vector store contract: records of a partition in a space, searched by vector, by text, or both.

A *space* is one embedding space (model and dimension); a *partition* is one knowledge base in it. A store maps
partitions onto its native tenancy, so that ten thousand knowledge bases are not ten thousand collections.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec

__all__ = [
    "And",
    "Compare",
    "Exists",
    "Filter",
    "Hit",
    "Metadata",
    "Not",
    "Or",
    "Page",
    "Record",
    "Space",
    "VectorCapabilities",
    "VectorStore",
]

Metadata = dict[str, Any]
"""Metadata of a record: values are str, int, float, bool or list[str]; keys are identifiers."""


class Space(msgspec.Struct, frozen=True):
    """One embedding space. `name` is [A-Za-z0-9_]{1,63} and stable; `dimension` is the length of its vectors."""

    name: str
    dimension: int


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One stored piece. `id` is a UUID string, unique within the space; the vector need not be normalised."""

    id: str
    text: str
    vector: Sequence[float]
    metadata: Metadata = {}


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """One found record. `score` is the exact cosine similarity in [-1, 1] for `search`.

    For `full_text` it is the store's own rank, comparable only within one answer, higher is better.
    """

    id: str
    text: str
    score: float
    metadata: Metadata = {}


class Compare(msgspec.Struct, frozen=True, tag="compare"):
    """`field op value`. op: eq ne in not_in lt le gt ge contains starts_with ends_with.

    `in` and `not_in` take a list. `contains` is a substring of a string, or a member of a list. `ne`, `not_in` match
    records that lack the field; every other operator does not. Text comparison is case-sensitive.
    """

    op: str
    field: str
    value: Any


class Exists(msgspec.Struct, frozen=True, tag="exists"):
    """The field is present, whatever its value."""

    field: str


class And(msgspec.Struct, frozen=True, tag="and"):
    """All of the items; an empty list matches everything."""

    items: list[Filter]


class Or(msgspec.Struct, frozen=True, tag="or"):
    """Any of the items; an empty list matches nothing."""

    items: list[Filter]


class Not(msgspec.Struct, frozen=True, tag="not"):
    """The item does not match."""

    item: Filter


Filter = Compare | Exists | And | Or | Not

OPERATORS = frozenset(("eq", "ne", "in", "not_in", "lt", "le", "gt", "ge", "contains", "starts_with", "ends_with"))


class VectorCapabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a store can do, declared once: the host uses it at run time, the suite chooses its tests by it."""

    full_text: bool = False
    hybrid: bool = False
    max_dimension: int = 4096
    persistent: bool = True


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A page of `scan`; `cursor` goes into the next call, None ends the scan."""

    records: list[Record]
    cursor: str | None = None


class VectorStore(ABC):
    """One opened vector store. Every method may be called concurrently from one event loop.

    Arguments are never mutated. A call on a space that was not created raises InvalidQuery for `upsert` and acts as on
    an empty space otherwise. Errors: StoreUnavailable, StoreUnauthorized, StoreRateLimited, InvalidQuery.
    """

    capabilities: ClassVar[VectorCapabilities] = VectorCapabilities()

    @abstractmethod
    async def open(self) -> None:
        """Connect; this is where the vendor's client is imported. Opening twice is harmless."""

    @abstractmethod
    async def close(self) -> None:
        """Release everything. Closing twice, or before opening, is harmless."""

    @abstractmethod
    async def create(self, space: Space) -> None:
        """Make the space if it is missing; repeated and concurrent calls are harmless."""

    @abstractmethod
    async def drop(self, space: Space) -> None:
        """Remove the space with all partitions; a missing space is harmless."""

    @abstractmethod
    async def upsert(self, space: Space, partition: str, records: Sequence[Record]) -> None:
        """Write records, replacing by id; visible to every later call. All or, on an error, possibly some of them.

        InvalidQuery when a vector has another dimension than the space, is all zeros, or holds NaN or infinity.
        """

    @abstractmethod
    async def delete(
        self,
        space: Space,
        partition: str,
        *,
        ids: Sequence[str] | None = None,
        filter: Filter | None = None,
    ) -> None:
        """Delete by ids, or by filter, or (with neither) the whole partition. Unknown ids are harmless.

        With both, only records that satisfy both go. An empty `ids` deletes nothing.
        """

    @abstractmethod
    async def search(
        self,
        space: Space,
        partition: str,
        vector: Sequence[float],
        *,
        top_k: int = 4,
        threshold: float | None = None,
        filter: Filter | None = None,
    ) -> list[Hit]:
        """The nearest records by cosine, best first, at most `top_k`, with score >= threshold.

        `filter` applies before the cut to `top_k`. InvalidQuery when top_k < 1 or the dimension differs.
        """

    async def full_text(
        self, space: Space, partition: str, query: str, *, top_k: int = 4, filter: Filter | None = None
    ) -> list[Hit]:
        """Records that share a word with the query, best first; called only with the `full_text` capability.

        Any text is a valid query: operators of the store's own language have no meaning in it.
        """
        raise NotImplementedError

    async def hybrid(
        self,
        space: Space,
        partition: str,
        vector: Sequence[float],
        query: str,
        *,
        top_k: int = 4,
        filter: Filter | None = None,
    ) -> list[Hit]:
        """Union of `search` and `full_text` fused by the store; called only with the `hybrid` capability.

        Each hit's score is its exact cosine similarity; the order is the store's fusion (reciprocal rank, k = 60).
        """
        raise NotImplementedError

    @abstractmethod
    async def get(self, space: Space, partition: str, ids: Sequence[str]) -> list[Record]:
        """The records with these ids that exist, in the order asked."""

    @abstractmethod
    async def count(self, space: Space, partition: str, *, filter: Filter | None = None) -> int:
        """How many records the partition holds."""

    @abstractmethod
    async def scan(self, space: Space, partition: str, *, cursor: str | None = None, limit: int = 100) -> Page:
        """A page of all records with their vectors, in a stable order; every record that exists throughout the scan
        appears exactly once. Vectors come back up to a positive factor (a store may keep them normalised)."""
