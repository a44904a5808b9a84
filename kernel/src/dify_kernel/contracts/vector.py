"""The vector store contract: records of a partition in a space, searched by vector, by text, or both.

A *space* is one embedding space (model and dimension); a *partition* is one knowledge base in it. A store maps
partitions onto its native tenancy, so that ten thousand knowledge bases are not ten thousand collections. What every
store must check and compute the same way is in `vector_rules`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec

from dify_kernel.contracts.engine_version import EngineVersion

__all__ = [
    "MAX_LIMIT",
    "MAX_METADATA_BYTES",
    "MAX_PARTITION_BYTES",
    "MAX_TEXT_BYTES",
    "And",
    "Compare",
    "EngineVersion",
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
"""Metadata of a record: values are str, int (64 bits), finite float, bool or list[str]; keys are ASCII identifiers."""

MAX_TEXT_BYTES = 262_144
"""The longest text of a record, in UTF-8; a store over an engine with shorter strings keeps it in several."""

MAX_METADATA_BYTES = 32_768
"""The largest metadata of a record, as JSON in UTF-8."""

MAX_PARTITION_BYTES = 1_024
"""The longest name of a partition, in UTF-8."""


MAX_LIMIT = 2**31 - 1
"""The largest number of records that may be asked for."""


class Space(msgspec.Struct, frozen=True):
    """One embedding space. `name` is [A-Za-z0-9_]{1,63} and stable; `dimension` is the length of its vectors."""

    name: str
    dimension: int


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One stored piece. The vector need not be normalised; the text may be empty.

    `id` is a UUID in its canonical form (lower case, hyphens); the caller keeps it unique within the space. Text,
    metadata and the name of the partition hold any Unicode but the character NUL, up to the sizes above.
    """

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

    `eq` and `ne` take a str, int, float or bool; `in` and `not_in` a list of these; `lt le gt ge` a number; the others
    a str. Anything else, an unknown operator, or a field that is no identifier is InvalidQuery. Values of different
    kinds are unequal (1 equals 1.0, but neither "1" nor true). `contains` is a substring of a string, or a member of a
    list; no other operator looks into a list. `ne`, `not_in` match records that lack the field: they negate `eq` and
    `in` exactly; every other operator does not. Text comparison is case-sensitive and literal, without wildcards.
    """

    op: str
    field: str
    value: Any


class Exists(msgspec.Struct, frozen=True, tag="exists"):
    """The field is present, whatever its value: an empty string, an empty list and false are values."""

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

    Arguments are never mutated. A partition is any non-empty text and needs no creation; one whose
    name `upsert` refuses holds nothing: other calls find that, or raise InvalidQuery. A call on a space that was not
    created raises InvalidQuery for `upsert` and acts as on an empty space otherwise. A cancelled call leaves the store
    usable. What a write did is visible to every later call, through any object: over an engine that shows writes late,
    the write waits until it does. A server that went away and came back is used again without `open`, after at most a
    few calls that raised StoreUnavailable. Errors: StoreUnavailable (also before `open`, after `close`, and for a call
    that `close` cut short), StoreUnauthorized, StoreRateLimited, InvalidQuery. No error holds a secret, nor does its
    cause; wrong credentials or an address where nothing answers are told by `open` or by the first call.
    """

    capabilities: ClassVar[VectorCapabilities] = VectorCapabilities()

    @abstractmethod
    async def open(self) -> None:
        """Connect; this is where the vendor's client is imported. Opening twice is harmless, and so is
        opening again after `close`: a persistent store then holds what it held."""

    @abstractmethod
    async def close(self) -> None:
        """Release everything. Closing twice, or before opening, is harmless."""

    async def version(self) -> EngineVersion | None:
        """What answers, asked each time, on an opened store; None for an engine that does not tell."""
        return None

    @abstractmethod
    async def create(self, space: Space) -> None:
        """Make the space if it is missing; repeated and concurrent calls are harmless and keep what it holds.

        InvalidQuery for a bad name, a dimension outside 1..max_dimension, or a space that exists with another one.
        """

    @abstractmethod
    async def drop(self, space: Space) -> None:
        """Remove the space with all partitions; a missing space is harmless."""

    @abstractmethod
    async def upsert(self, space: Space, partition: str, records: Sequence[Record]) -> None:
        """Write records, replacing by id as a whole; any number of them. No records is harmless.

        Of records with the same id in one call the last counts. InvalidQuery, with nothing written, when a vector has
        another dimension than the space, is all zeros, or holds NaN or infinity, when an id is no UUID, when metadata
        is not `Metadata`, or when a text is too long or holds NUL. On any other error possibly some of them are
        written, each as a whole; the call may be repeated.
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

        `filter` applies before the cut to `top_k`. Any `top_k` is valid, also over the engine's own limit: one that is
        not smaller than the partition gives every record. InvalidQuery when `top_k` is outside 1..MAX_LIMIT or the
        vector is one `upsert` refuses. An engine with an approximate index may miss a near record of a large
        partition; a score is exact all the same.
        """

    async def full_text(
        self, space: Space, partition: str, query: str, *, top_k: int = 4, filter: Filter | None = None
    ) -> list[Hit]:
        """Records that share a word with the query, best first; called only with the `full_text` capability.

        Case does not matter. Chinese, Japanese, Korean, Thai, Lao, Burmese and Khmer text needs no spaces: two
        characters in sequence are a word. A record with more of the query's words, or rarer ones, comes before one with
        fewer. Any text is a valid query: operators of the store's own language have no meaning in it, and one without a
        word finds nothing. InvalidQuery when `top_k` is outside 1..MAX_LIMIT.
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

        Each hit's score is its exact cosine similarity; the order is the reciprocal rank fusion of both lists: the sum
        of 1 / (60 + rank), ranks from 1, each list taken to a depth of at least `top_k`. `filter` applies to both.
        """
        raise NotImplementedError

    @abstractmethod
    async def get(self, space: Space, partition: str, ids: Sequence[str]) -> list[Record]:
        """The records with these ids that exist, in the order asked, each once; vectors come back as with `scan`."""

    @abstractmethod
    async def count(self, space: Space, partition: str, *, filter: Filter | None = None) -> int:
        """How many records of the partition satisfy the filter; without one, how many it holds."""

    @abstractmethod
    async def scan(self, space: Space, partition: str, *, cursor: str | None = None, limit: int = 100) -> Page:
        """A page of all records with their vectors, in a stable order; every record that exists throughout the scan
        appears exactly once. Vectors come back up to a positive factor (a store may keep them normalised). A page holds
        at most `limit` records; InvalidQuery when that is outside 1..MAX_LIMIT, or for a cursor that `scan` cannot have
        given."""
