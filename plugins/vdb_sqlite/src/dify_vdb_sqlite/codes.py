"""Short codes of vectors: what a search of a large partition looks at first, before it computes exact scores.

A code has five bits a dimension: whether the number is above each of five levels around the partition's mean. As many
bits differ between two codes as their numbers are levels apart. Mean and spread are those of a sample, taken when the
partition becomes large: vectors of one collection all lean to one side, and only what is left tells them apart.
Partitions below that size have no codes, and are searched exactly.
"""

from __future__ import annotations

import array
import json
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import apsw

__all__ = ["LARGE", "bound_for", "code_of", "depth_of", "encode", "encode_all", "is_encodable", "levels_of"]

LARGE = 4096
"""Records from which on a partition has codes."""
SAMPLE = 1024
LEAST_DEPTH = 1000
SHARE = 64
"""One of so many records is scored exactly, when that is more than the least."""

STEPS = (-1.2, -0.6, 0.0, 0.6, 1.2)
"""The levels, in standard deviations from the mean."""


def depth_of(records: int, top_k: int) -> int:
    """How many records with the nearest codes are scored exactly; many more than are wanted."""
    return max(LEAST_DEPTH, records // SHARE, 8 * top_k)


def is_encodable(dimension: int) -> bool:
    """Whether vectors of that length have codes: bits fill whole bytes, and a short code tells little."""
    return dimension % 8 == 0 and dimension >= 64


def code_of(vector: str) -> str:
    """The SQL that gives the code of a vector, which is an expression; its parameters are `bound_for`."""
    return f"CAST({' || '.join([f'vec_quantize_binary(vec_sub({vector}, ?))'] * len(STEPS))} AS BLOB)"


def bound_for(levels: bytes, vector: bytes | None = None) -> list[bytes]:
    """The parameters of `code_of("?")` for a vector, or of one whose vector is a column."""
    size = len(levels) // len(STEPS)
    parts = [levels[start : start + size] for start in range(0, len(levels), size)]
    return parts if vector is None else [item for part in parts for item in (vector, part)]


def levels_of(db: apsw.Connection, first: int, last: int) -> bytes | None:
    """The levels from a sample spread over the keys, one vector after the other; None for a small partition."""
    counted: list[tuple[Any, ...]] = db.execute(
        "SELECT count(*) FROM vectors WHERE key BETWEEN ? AND ?", (first, last)
    ).fetchall()
    ((records,),) = counted
    if records < LARGE:
        return None
    blobs: list[tuple[Any, ...]] = db.execute(
        "SELECT vector FROM vectors WHERE key BETWEEN ? AND ? AND key % ? = 0 LIMIT ?",
        (first, last, max(1, records // SAMPLE), SAMPLE),
    ).fetchall()
    columns = list(zip(*(array.array("f", blob) for (blob,) in blobs), strict=True))
    means = [math.fsum(column) / len(column) for column in columns]
    spreads = [
        math.sqrt(math.fsum((number - mean) ** 2 for number in column) / len(column))
        for column, mean in zip(columns, means, strict=True)
    ]
    return b"".join(
        array.array("f", [mean + step * spread for mean, spread in zip(means, spreads, strict=True)]).tobytes()
        for step in STEPS
    )


def encode(db: apsw.Connection, levels: bytes, keys: list[int]) -> None:
    """Write the codes of some records."""
    db.execute(
        f"REPLACE INTO codes SELECT key, {code_of('vector')} FROM vectors"  # noqa: S608
        " WHERE key IN (SELECT value FROM json_each(?))",
        (*bound_for(levels), json.dumps(keys)),
    )


def encode_all(db: apsw.Connection, levels: bytes, first: int, last: int) -> None:
    """Write the codes of all records of a partition."""
    db.execute(
        f"REPLACE INTO codes SELECT key, {code_of('vector')} FROM vectors WHERE key BETWEEN ? AND ?",  # noqa: S608
        (*bound_for(levels), first, last),
    )
