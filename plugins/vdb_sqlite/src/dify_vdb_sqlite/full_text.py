"""Ranks by words: BM25, with the rarity of a word in its partition.

The engine's own measure takes the rarity over the whole file, where what others keep would count: beside a hundred
thousand records of strangers, "the" is nearly as rare as "aileron". Each word is therefore looked up by itself, and its
scores are put right before they are summed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from dify_kernel.contracts.vector import Filter

from dify_vdb_sqlite.filters import to_sql
from dify_vdb_sqlite.words import to_phrases

if TYPE_CHECKING:
    import apsw

__all__ = ["ranked_by_words"]

LARGE = 1000
"""Records from which on a word that half of them hold only fills up what rarer words leave free."""
LEAST_RARITY = 1e-6
"""What the engine takes for the rarity of a word that more than half of the file holds."""


def ranked_by_words(
    db: apsw.Connection, partition: int, query: str, top_k: int, filter: Filter | None
) -> list[tuple[int, float]]:
    """Keys of records that share a word with the query, and their scores, best first, at most `top_k`."""
    rows: list[tuple[Any, ...]] = db.execute("SELECT next FROM partitions WHERE id = ?", (partition,)).fetchall()
    if not rows:
        return []
    ((records,),) = rows
    everything = max(_rows_of_file(db), 1)
    telling: dict[str, float] = {}
    common: dict[str, float] = {}
    for phrase in to_phrases(partition, query):
        counted: list[tuple[Any, ...]] = db.execute(
            "SELECT count(*) FROM terms WHERE terms MATCH ?", (phrase,)
        ).fetchall()
        ((holding,),) = counted
        if holding:
            kind = common if records >= LARGE and 2 * holding > records else telling
            kind[phrase] = _rarity(records, holding) / _engine_rarity(everything, holding)
    found = _summed(db, telling, top_k, filter)
    if len(found) < top_k and common:
        known = dict(found)
        more = _summed(db, common, top_k + len(found), filter)
        least = found[-1][1] if found else math.inf
        found += [(key, min(score, least)) for key, score in more if key not in known]
    return found[:top_k]


def _summed(
    db: apsw.Connection, weights: dict[str, float], top_k: int, filter: Filter | None
) -> list[tuple[int, float]]:
    """The sum of each word's scores by their weights."""
    if not weights:
        return []
    one = "SELECT rowid, ? * bm25(terms) FROM terms WHERE terms MATCH ?"
    condition, values = to_sql(filter)
    source = "scored" if filter is None else "scored JOIN facts USING (key)"
    # The scores must be computed where the index is read, before anything is grouped.
    query = (
        f"WITH scored (key, badness) AS MATERIALIZED ({' UNION ALL '.join([one] * len(weights))})"  # noqa: S608
        f" SELECT key, sum(badness) FROM {source} WHERE {condition} GROUP BY key ORDER BY 2, key LIMIT ?"
    )
    bound = [value for phrase, weight in weights.items() for value in (weight, phrase)]
    rows: list[tuple[Any, ...]] = db.execute(query, (*bound, *values, top_k)).fetchall()
    return [(key, -badness) for key, badness in rows]


def _rarity(records: int, holding: int) -> float:
    return math.log(1 + (max(records, holding) - holding + 0.5) / (holding + 0.5))


def _engine_rarity(records: int, holding: int) -> float:
    return max(math.log((max(records, holding) - holding + 0.5) / (holding + 0.5)), LEAST_RARITY)


def _rows_of_file(db: apsw.Connection) -> int:
    """How many rows the index holds: the first number of its record of sums, seven bits a byte, highest first."""
    rows: list[tuple[Any, ...]] = db.execute("SELECT block FROM terms_data WHERE id = 1").fetchall()
    number = 0
    for byte in rows[0][0] if rows else b"":
        number = number << 7 | byte & 0x7F
        if byte < 0x80:
            break
    return number
