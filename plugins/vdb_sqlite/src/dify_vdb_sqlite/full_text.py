"""Ranks by words: BM25, with the rarity of a word in its partition.

The engine's own measure takes the rarity over the whole file, where what others keep would count: beside a hundred
thousand records of strangers, "the" is nearly as rare as "aileron". Each word is therefore looked up by itself, and its
scores are put right before they are summed.

What cannot win is not scored: the rarest words come first, and when no record without them can reach the best that they
found, the other words are only looked up in these. With a long question to a large partition, that may not be known
before most of it is scored: then the rarest words choose some hundred records, among which all of them decide.
"""

from __future__ import annotations

import heapq
import json
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from dify_kernel.contracts.vector import Filter

from dify_vdb_sqlite.filters import to_sql
from dify_vdb_sqlite.words import to_phrases

if TYPE_CHECKING:
    import apsw

__all__ = ["RANKED", "WordCounts", "ranked_by_words"]

LARGE = 1000
"""Records from which on a word that half of them hold only fills up what rarer words leave free."""
RANKED = 5000
"""Of the records that hold such words alone, so many are ranked at least: those that were written first."""
LEAST_RARITY = 1e-6
"""What the engine takes for the rarity of a word that more than half of the file holds."""
MOST_TIMES = 2.2
"""A word is worth less than so many times its rarity, however often a text says it (k1 + 1)."""
MOST_READ = 10_000
"""Scores of rare words that are kept here to find out what can win; beyond that the engine sums up all."""

MOST_SUMMED = 50_000
"""Scores that the engine sums up for one query; words beyond, the most common ones, choose no record."""
CHOSEN = 300
"""Of the records that the rarer words choose, so many are scored by all words: their exact scores decide."""
MOST_COUNTED = 20_000


class WordCounts:
    """How many records hold a word, remembered as long as their partition does not change."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], int] = {}

    def of(self, db: apsw.Connection, state: tuple[Any, ...], phrase: str) -> int:
        """The number of records; `state` is the partition with its numbers of records written and gone."""
        key = (*state, phrase)
        found = self._known.get(key)
        if found is None:
            counted = "SELECT count(*) FROM terms WHERE terms MATCH ?"
            rows: list[tuple[Any, ...]] = db.execute(counted, (phrase,)).fetchall()
            ((found,),) = rows
            if len(self._known) >= MOST_COUNTED:
                self._known.clear()
            self._known[key] = found
        return found


class _Word(NamedTuple):
    phrase: str
    holding: int
    rarity: float
    weight: float
    """What the engine's score is multiplied by, so that the rarity is the partition's."""


def ranked_by_words(
    db: apsw.Connection, partition: int, query: str, top_k: int, filter: Filter | None, counts: WordCounts
) -> list[tuple[int, float]]:
    """Keys of records that share a word with the query, and their scores, best first, at most `top_k`."""
    rows: list[tuple[Any, ...]] = db.execute("SELECT next, gone FROM partitions WHERE id = ?", (partition,)).fetchall()
    if not rows:
        return []
    ((written, gone),) = rows
    records, state = written - gone, (partition, written, gone)
    telling: list[_Word] = []
    common: list[_Word] = []
    for word in _words(db, state, query, records, counts):
        (common if records >= LARGE and 2 * word.holding > records else telling).append(word)
    within = _Within(filter)
    found = _best(db, telling, top_k, within)
    if len(found) < top_k and common:
        known = dict(found)
        more = _first_best(db, common, top_k + len(found), within)
        least = found[-1][1] if found else math.inf
        found += [(key, min(score, least)) for key, score in more if key not in known]
    return found[:top_k]


def _words(
    db: apsw.Connection, state: tuple[Any, ...], query: str, records: int, counts: WordCounts
) -> Iterable[_Word]:
    """The words of a query that some record holds."""
    everything = max(_rows_of_file(db), 1)
    for phrase in to_phrases(state[0], query):
        holding = counts.of(db, state, phrase)
        if holding:
            rarity = _rarity(records, holding)
            yield _Word(phrase, holding, rarity, rarity / _engine_rarity(everything, holding))


class _Within:
    """Says which records count: `source` and `condition` of a query over `terms`, and the values that it binds."""

    def __init__(self, filter: Filter | None, keys: Sequence[int] | None = None) -> None:
        self.condition, self.values = to_sql(filter)
        # The index is read first: looked up key by key, it would count the word's records for each of them.
        self.source = "terms" if filter is None else "terms CROSS JOIN facts ON facts.key = terms.rowid"
        if keys is not None:
            self.condition = "terms.rowid <= ? AND +terms.rowid IN (SELECT value FROM json_each(?))"
            self.values = [max(keys), json.dumps(keys)]

    def scored(self) -> str:
        """The query for keys and scores by a weight, an expression and the values; the lower a score the better."""
        return (
            f"SELECT terms.rowid AS key, ? * bm25(terms) AS badness FROM {self.source}"  # noqa: S608
            f" WHERE terms MATCH ? AND {self.condition}"
        )

    def rows(self, db: apsw.Connection, expression: str) -> list[tuple[int, float]]:
        """Keys and the engine's own scores of the records that match an expression."""
        found: list[Any] = db.execute(self.scored(), (1.0, expression, *self.values)).fetchall()
        return found


def _best(db: apsw.Connection, words: list[_Word], top_k: int, within: _Within) -> list[tuple[int, float]]:
    """The best by the sum of their words' scores."""
    words = sorted(words, key=lambda word: -word.rarity)
    scores: dict[int, float] = {}
    plain: dict[int, float] = {}
    read = 0
    for number, word in enumerate(words if _worth_reading(words) else ()):
        if _decided(scores, top_k, words[number:]):
            _add(db, scores, plain, words[:number], words[number:], within)
            return [(key, -badness) for key, badness in _least(scores, top_k)]
        read += word.holding
        if number == len(words) - 1 or read > MOST_READ:
            break
        for key, badness in within.rows(db, word.phrase):
            plain[key] = plain.get(key, 0.0) + badness
            scores[key] = scores.get(key, 0.0) + word.weight * badness
    return _chosen(db, words, top_k, within) or _summed(db, words, top_k, within)


def _chosen(db: apsw.Connection, words: list[_Word], top_k: int, within: _Within) -> list[tuple[int, float]]:
    """The best by all words among the best by the rarest; nothing when all words can be summed up, or must be."""
    rarest: list[_Word] = []
    summed = 0
    for word in words:
        summed += word.holding
        if rarest and summed > MOST_SUMMED:
            break
        rarest.append(word)
    if len(rarest) == len(words):
        return []
    keys = [key for key, _ in _summed(db, rarest, max(CHOSEN, top_k), within)]
    # With too few of them, records that hold other words alone belong to the best.
    return _summed(db, words, top_k, _Within(None, keys)) if len(keys) >= max(CHOSEN, top_k) else []


def _worth_reading(words: list[_Word]) -> bool:
    """Whether few enough scores could decide: those of words that are worth half of all together."""
    worth, read = sum(word.rarity for word in words) / 2, 0
    for word in words:
        if worth <= 0:
            break
        worth -= word.rarity
        read += word.holding
    return read <= MOST_READ


def _decided(scores: dict[int, float], top_k: int, others: list[_Word]) -> bool:
    """Whether no record that holds other words alone can be among the best."""
    if len(scores) < top_k:
        return False
    return MOST_TIMES * sum(word.rarity for word in others) <= -_least(scores, top_k)[-1][1]


def _least(scores: dict[int, float], top_k: int) -> list[tuple[int, float]]:
    return heapq.nsmallest(top_k, scores.items(), key=lambda item: (item[1], item[0]))


def _add(
    db: apsw.Connection,
    scores: dict[int, float],
    plain: dict[int, float],
    known: list[_Word],
    others: list[_Word],
    within: _Within,
) -> None:
    """Add what other words are worth in records whose known words are summed up.

    The engine goes through a common word's records by leaps when it is told which others they must hold, but then gives
    the score of all: `plain` is what it gave for those.
    """
    any_known = " OR ".join(word.phrase for word in known)
    for word in others:
        for key, badness in within.rows(db, f"{word.phrase} AND ({any_known})"):
            scores[key] += word.weight * (badness - plain[key])


def _first_best(db: apsw.Connection, words: list[_Word], top_k: int, within: _Within) -> list[tuple[int, float]]:
    """The best among the records that were written first, of those that hold any of the words."""
    query = (
        f"SELECT terms.rowid FROM {within.source} WHERE terms MATCH ? AND {within.condition}"  # noqa: S608
        " ORDER BY terms.rowid LIMIT ?"
    )
    any_word = " OR ".join(word.phrase for word in words)
    rows: list[tuple[Any, ...]] = db.execute(query, (any_word, *within.values, max(RANKED, top_k))).fetchall()
    return _summed(db, words, top_k, _Within(None, [key for (key,) in rows])) if rows else []


def _summed(db: apsw.Connection, words: list[_Word], top_k: int, within: _Within) -> list[tuple[int, float]]:
    """The best by the sum of their words' scores, when all of them are summed up by the engine."""
    if not words:
        return []
    bound = [value for word in words for value in (word.weight, word.phrase, *within.values)]
    one = within.scored()
    if len(words) == 1:
        query = f"{one} ORDER BY 2, 1 LIMIT ?"
    else:
        # The limit that is none: scores must be computed where the index is read, before anything is grouped.
        arms = " UNION ALL ".join([f"SELECT * FROM ({one} LIMIT -1)"] * len(words))  # noqa: S608
        query = f"SELECT key, sum(badness) FROM ({arms}) GROUP BY key ORDER BY 2, key LIMIT ?"  # noqa: S608
    rows: list[tuple[Any, ...]] = db.execute(query, (*bound, top_k)).fetchall()
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
