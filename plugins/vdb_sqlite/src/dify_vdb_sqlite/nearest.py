"""Finds the nearest records: all vectors of a small partition are compared, of a large one those whose codes are near.

The codes of a large partition are gone through once, and only what is near enough is sorted, and shown to the filter.
How near that is a sample tells. A filter that few records pass goes first instead.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from dify_kernel.contracts.vector import Filter
from dify_kernel.contracts.vector_rules import clamp

from dify_vdb_sqlite.codes import bound_for, code_of, depth_of
from dify_vdb_sqlite.database import keys_of
from dify_vdb_sqlite.filters import to_sql

if TYPE_CHECKING:
    import apsw

__all__ = ["nearest"]

SAMPLE = 512
SAMPLED = 32 * SAMPLE
"""Records from which on a sample costs less than it saves."""
SPARED = 8
"""The filter goes first where more than one of so many records that satisfy it would be sorted."""

_DISTANCE = "vec_distance_hamming(vec_bit(code), vec_bit(?))"


def nearest(
    db: apsw.Connection, partition: int, vector: bytes, top_k: int, filter: Filter | None
) -> list[tuple[int, float]]:
    """Keys and scores, best first."""
    first, last = keys_of(partition)
    query = "SELECT levels, next FROM partitions WHERE id = ? AND levels IS NOT NULL"
    found: list[tuple[Any, ...]] = db.execute(query, (partition,)).fetchall()
    if found:
        ((levels, records),) = found
        codes = _Codes(db, first, last, levels, vector, filter)
        source, condition = "vectors", "key IN (SELECT value FROM json_each(?))"
        bound: list[Any] = [json.dumps(codes.nearest(records, depth_of(records, top_k)))]
    else:
        condition, values = to_sql(filter)
        source, condition = f"vectors{_facts(filter)}", f"key BETWEEN ? AND ? AND {condition}"
        bound = [first, last, *values]
    query = (
        f"SELECT key, vec_distance_cosine(vector, ?) AS distance FROM {source}"  # noqa: S608
        f" WHERE {condition} ORDER BY distance, key LIMIT ?"
    )
    rows: list[tuple[Any, ...]] = db.execute(query, (vector, *bound, top_k)).fetchall()
    return [(key, clamp(1.0 - distance)) for key, distance in rows]


def _facts(filter: Filter | None, join: str = "JOIN") -> str:
    return "" if filter is None else f" {join} facts USING (key)"


class _Codes:
    """The codes of one partition, beside that of one vector."""

    def __init__(
        self, db: apsw.Connection, first: int, last: int, levels: bytes, vector: bytes, filter: Filter | None
    ) -> None:
        self._db = db
        self._first, self._last, self._filter = first, last, filter
        self._condition, self._values = to_sql(filter)
        ((self._code,),) = db.execute(f"SELECT {code_of('?')}", bound_for(levels, vector)).fetchall()

    def nearest(self, records: int, depth: int) -> list[int]:
        """Keys of so many records that satisfy the filter and have the nearest codes."""
        ordered = f"ORDER BY {_DISTANCE}, key LIMIT ?"
        limit = self._limit(records, depth)
        if limit is not None:
            source = f"codes{_facts(self._filter, 'CROSS JOIN')}"  # the codes come first
            condition = f"{_DISTANCE} <= ? AND {self._condition}"
            keys = self._keys(source, condition, (self._code, limit, *self._values), ordered, depth)
            if len(keys) == depth:
                return keys
        return self._keys(f"codes{_facts(self._filter)}", self._condition, self._values, ordered, depth)

    def _keys(self, source: str, condition: str, values: Any, ordered: str, depth: int) -> list[int]:
        query = f"SELECT key FROM {source} WHERE key BETWEEN ? AND ? AND {condition} {ordered}"  # noqa: S608
        rows: list[tuple[Any, ...]] = self._db.execute(
            query, (self._first, self._last, *values, self._code, depth)
        ).fetchall()
        return [key for (key,) in rows]

    def _limit(self, records: int, depth: int) -> float | None:
        """The distance up to which so many records are likely to be, of those that satisfy the filter.

        None where that would spare too little: the partition is not large, or the filter passes few.
        """
        if records < SAMPLED:
            return None
        sample = range(self._first, self._first + records, records // SAMPLE)
        query = (
            f"SELECT {_DISTANCE} FROM codes{_facts(self._filter, 'CROSS JOIN')}"  # noqa: S608
            f" WHERE key IN (SELECT value FROM json_each(?)) AND {self._condition} ORDER BY 1"
        )
        found: list[tuple[Any, ...]] = self._db.execute(
            query, (self._code, json.dumps(list(sample)), *self._values)
        ).fetchall()
        wanted = depth * len(sample) / records
        place = math.ceil(wanted + 2 * math.sqrt(wanted))  # two standard deviations more, for a sample may mislead
        return found[place][0] if SPARED * place < len(found) else None
