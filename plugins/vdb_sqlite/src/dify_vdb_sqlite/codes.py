"""Short codes of vectors: what a search of a large partition looks at first, before it computes exact scores.

A code has one bit a dimension: whether the number is above that of the partition's centre. The centre is the mean of a
sample, taken when the partition becomes large, so that vectors that all lean to one side still differ in their codes.
Partitions below that size have no codes, and are searched exactly.
"""

from __future__ import annotations

import array
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import apsw

__all__ = ["LARGE", "centre_of", "depth_of", "encode_all", "is_encodable"]

LARGE = 4096
"""Records from which on a partition has codes."""
SAMPLE = 1024
LEAST_DEPTH = 1000
SHARE = 64
"""One of so many records is scored exactly, when that is more than the least."""


def depth_of(records: int, top_k: int) -> int:
    """How many records with the nearest codes are scored exactly; many more than are wanted."""
    return max(LEAST_DEPTH, records // SHARE, 8 * top_k)


def is_encodable(dimension: int) -> bool:
    """Whether vectors of that length have codes: bits fill whole bytes, and a short code tells little."""
    return dimension % 8 == 0 and dimension >= 64


def centre_of(db: apsw.Connection, first: int, last: int) -> bytes | None:
    """The mean of a sample spread over the keys, or None while there are too few records."""
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
    rows = [array.array("f", blob) for (blob,) in blobs]
    return array.array("f", [sum(column) / len(rows) for column in zip(*rows, strict=True)]).tobytes()


def encode_all(db: apsw.Connection, centre: bytes, first: int, last: int) -> None:
    """Write the codes of all records of a partition."""
    db.execute(
        "UPDATE facts SET code ="
        " (SELECT vec_quantize_binary(vec_sub(vector, ?)) FROM vectors WHERE vectors.key = facts.key)"
        " WHERE key BETWEEN ? AND ?",
        (centre, first, last),
    )
