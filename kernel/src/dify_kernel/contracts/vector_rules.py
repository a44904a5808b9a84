"""What every vector store must check and compute the same way: pure functions over the structs of the contract."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache
from operator import mul
from typing import Any, TypeVar

import msgspec

from dify_kernel.contracts.vector import (
    MAX_LIMIT,
    MAX_METADATA_BYTES,
    MAX_PARTITION_BYTES,
    MAX_TEXT_BYTES,
    OPERATORS,
    And,
    Compare,
    Exists,
    Filter,
    Hit,
    Metadata,
    Not,
    Or,
    Record,
    Space,
)
from dify_kernel.errors import InvalidQuery

__all__ = [
    "RRF_K",
    "check_filter",
    "check_limit",
    "check_partition",
    "check_query",
    "check_records",
    "check_space",
    "check_vector",
    "clamp",
    "cosine",
    "cut",
    "fuse",
    "is_uuid",
    "last_by_id",
    "matches",
    "unit",
]

K = TypeVar("K", bound=Hashable)

RRF_K = 60
"""The constant of reciprocal rank fusion."""

_SPACE_NAME = re.compile(r"[A-Za-z0-9_]{1,63}")
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_ROUNDING = 1e-12
_SMALLEST = 1e-150
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_INT64 = range(-(2**63), 2**63)


# -- checks: each raises InvalidQuery ------------------------------------------------------------------------


def check_space(space: Space, max_dimension: int) -> None:
    """The name is [A-Za-z0-9_]{1,63} and the dimension is within 1..max_dimension."""
    if not _SPACE_NAME.fullmatch(space.name):
        raise InvalidQuery(f"Space name {space.name!r} is not made of 1 to 63 letters, digits and underscores.")
    if not 1 <= space.dimension <= max_dimension:
        raise InvalidQuery(
            f"Space {space.name} has dimension {space.dimension}; this store takes 1 to {max_dimension}.",
            hint="Choose another embedding model or another vector store.",
        )


def check_partition(partition: str) -> None:
    """A partition has a name that can be kept."""
    if not partition:
        raise InvalidQuery("The partition is an empty string; give the id of the knowledge base.")
    _check_text(partition, MAX_PARTITION_BYTES, "The name of the partition")


def check_records(space: Space, records: Sequence[Record]) -> list[float]:
    """Every vector, id and metadata is one that `upsert` takes; gives the lengths of the vectors, in order."""
    lengths = []
    for record in records:
        if not is_uuid(record.id):
            raise InvalidQuery(f"Record id {record.id!r} is not a UUID in lower case with hyphens.")
        vector, text = record.vector, record.text
        length = math.hypot(*vector)
        if len(vector) != space.dimension or not 0 < length < math.inf:  # only now it matters what it is
            check_vector(space, vector, f"record {record.id}")
        if not text.isascii() or len(text) > MAX_TEXT_BYTES or "\0" in text:
            _check_text(text, MAX_TEXT_BYTES, f"The text of record {record.id}")
        if record.metadata:
            _check_metadata(record)
        lengths.append(length)
    return lengths


def check_vector(space: Space, vector: Sequence[float], of: str) -> float:
    """The dimension is the space's, all numbers are finite, and not all are zero; gives the vector's length."""
    if len(vector) != space.dimension:
        raise InvalidQuery(f"The vector of {of} has dimension {len(vector)}, space {space.name} has {space.dimension}.")
    norm = math.hypot(*vector)
    if not math.isfinite(norm) or norm == 0:
        raise InvalidQuery(f"The vector of {of} is all zeros or holds NaN or infinity.")
    return norm


def check_query(space: Space, vector: Sequence[float], top_k: int, filter: Filter | None) -> float:
    """A search is well-formed: its vector, `top_k` and filter; gives the vector's length."""
    check_limit("top_k", top_k)
    check_filter(filter)
    return check_vector(space, vector, "the query")


def check_limit(name: str, value: int) -> None:
    """A number of records asked for is at least 1, and one that every engine can count to."""
    if not 1 <= value <= MAX_LIMIT:
        raise InvalidQuery(f"{name} is {value}; it must be from 1 to {MAX_LIMIT}.")


def check_filter(filter: Filter | None) -> None:
    """Every operator, field and value of the tree is one the contract knows; None is no filter."""
    match filter:
        case None:
            return
        case And(items) | Or(items):
            for item in items:
                check_filter(item)
        case Not(item):
            check_filter(item)
        case Exists(field):
            _check_field(field)
        case Compare(op, field, value):
            _check_field(field)
            if op not in OPERATORS:
                raise InvalidQuery(f"Filter operator {op!r} is unknown; known: {', '.join(sorted(OPERATORS))}.")
            if not _OPERAND[op](value):
                raise InvalidQuery(f"Filter {field} {op} cannot take {value!r}.")
            for text in value if isinstance(value, list) else [value]:
                if isinstance(text, str):
                    _check_text(text, MAX_METADATA_BYTES, f"A value of the filter on {field}")
        case _:
            raise InvalidQuery(f"{type(filter).__name__} is not a filter.")


def _check_metadata(record: Record) -> None:
    for key, value in record.metadata.items():
        _check_field(key)
        if not (type(value) is str or _storable(value)):
            raise InvalidQuery(
                f"Metadata {key!r} of record {record.id} is {value!r}.",
                hint="Values are text, 64-bit integers, finite floats, booleans or lists of text.",
            )
    try:
        encoded = msgspec.json.encode(record.metadata)
    except UnicodeEncodeError:
        encoded = b""
    if encoded and len(encoded) <= MAX_METADATA_BYTES and rb"\u0000" not in encoded:
        return
    for key, value in record.metadata.items():  # only now it matters which of them it is
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str):
                _check_text(text, MAX_METADATA_BYTES, f"Metadata {key!r} of record {record.id}")
    if len(encoded) > MAX_METADATA_BYTES:
        raise InvalidQuery(
            f"The metadata of record {record.id} takes {len(encoded)} bytes; at most {MAX_METADATA_BYTES} are kept."
        )


def _check_text(text: str, limit: int, of: str) -> None:
    """Valid Unicode without NUL, within a size: more than one engine keeps nothing else."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError as exc:
        raise InvalidQuery(f"{of} is not valid Unicode: {exc.reason}.") from exc
    if size > limit:
        raise InvalidQuery(f"{of} takes {size} bytes; at most {limit} are kept.", hint="Split it.")
    if "\0" in text:
        raise InvalidQuery(f"{of} holds the character NUL.", hint="Remove it.")


def is_uuid(text: str) -> bool:
    """Whether the text is a UUID in its canonical form."""
    return _UUID.fullmatch(text) is not None


@lru_cache(maxsize=1024)  # records of one knowledge base have the same few
def _check_field(field: str) -> None:
    if not _FIELD.fullmatch(field):
        raise InvalidQuery(f"Metadata field {field!r} is not an ASCII identifier of at most 63 characters.")


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool))


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | bool) or (isinstance(value, int) and value in _INT64) or _is_finite(value)


def _is_finite(value: Any) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def _storable(value: Any) -> bool:
    return _is_scalar(value) or (isinstance(value, list) and all(isinstance(item, str) for item in value))


_OPERAND: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("eq", "ne"), _is_scalar),
    **dict.fromkeys(("in", "not_in"), lambda value: isinstance(value, list) and all(map(_is_scalar, value))),
    **dict.fromkeys(("lt", "le", "gt", "ge"), lambda value: _is_number(value) and _is_scalar(value)),
    **dict.fromkeys(("contains", "starts_with", "ends_with"), lambda value: isinstance(value, str)),
}


# -- the meaning of filters ------------------------------------------------------------------------------------


def matches(filter: Filter | None, metadata: Metadata) -> bool:
    """Whether metadata satisfies a checked filter: the definition that a store's own language must agree with."""
    match filter:
        case None:
            return True
        case And(items):
            return all(matches(item, metadata) for item in items)
        case Or(items):
            return any(matches(item, metadata) for item in items)
        case Not(item):
            return not matches(item, metadata)
        case Exists(field):
            return field in metadata
        case Compare(op, field, value):
            return _compare(op, metadata.get(field), value)


def _compare(op: str, found: Any, value: Any) -> bool:
    if op in ("eq", "ne"):
        return _equal(found, value) is (op == "eq")
    if op in ("in", "not_in"):
        # Lists are long (the documents of a knowledge base): look for an equal one first, then at its kind.
        return (found in value and any(_equal(found, item) for item in value)) is (op == "in")
    if op == "contains":
        return isinstance(found, str | list) and value in found
    if op in ("starts_with", "ends_with"):
        return isinstance(found, str) and (found.startswith(value) if op == "starts_with" else found.endswith(value))
    if not _is_number(found):
        return False
    return bool({"lt": found < value, "le": found <= value, "gt": found > value, "ge": found >= value}[op])


def _equal(found: Any, value: Any) -> bool:
    return bool(_kind(found) is _kind(value) and found == value)


def _kind(value: Any) -> type:
    return float if _is_number(value) else type(value)


# -- geometry and ranking --------------------------------------------------------------------------------------


def unit(vector: Sequence[float], length: float | None = None) -> list[float]:
    """The vector divided by its length, if known; unchanged when that is 1 already, as far as a double can tell."""
    norm = math.hypot(*vector) if length is None else length
    return list(vector) if abs(norm - 1.0) < _ROUNDING else [value / norm for value in vector]


def cosine(a: Sequence[float], b: Sequence[float]) -> float:
    """The cosine similarity of two vectors, in [-1, 1]; ValueError when their lengths differ."""
    if len(a) != len(b):
        raise ValueError(f"A vector of length {len(a)} has no cosine to one of length {len(b)}.")
    lengths = math.hypot(*a) * math.hypot(*b)
    if not _SMALLEST < lengths < 1 / _SMALLEST:  # the products would leave what a double holds
        return cosine(unit(a), unit(b))
    return clamp(sum(map(mul, a, b)) / lengths)


def clamp(score: float) -> float:
    """The score within [-1, 1]; rounding may have carried it a little outside."""
    return max(-1.0, min(1.0, score))


def fuse(*rankings: Sequence[K]) -> list[K]:
    """Ids by reciprocal rank over several rankings, best first; equal ones in the order they were first seen."""
    scores: dict[K, float] = {}
    for ranking in rankings:
        for rank, id in enumerate(ranking, start=1):
            scores[id] = scores.get(id, 0.0) + 1.0 / (RRF_K + rank)
    return sorted(scores, key=lambda id: -scores[id])


def last_by_id(records: Sequence[Record]) -> list[Record]:
    """The records without those that a later one of the same id replaces."""
    return list({record.id: record for record in records}.values())


def cut(hits: Sequence[Hit], top_k: int, threshold: float | None) -> list[Hit]:
    """The first `top_k` hits of a ranked list, without those below the threshold."""
    return [hit for hit in hits[:top_k] if threshold is None or hit.score >= threshold]
