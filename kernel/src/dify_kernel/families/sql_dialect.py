"""What differs between SQL engines with vectors, and the dialect of those with array columns (the PostgreSQL protocol).

A condition is SQL with `%s` for each of its bound values, in order: the placeholder that the drivers of both great
protocols take. What stands in the SQL itself is made from numbers, names that `native_name` made, and checked fields.
"""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from dify_kernel.contracts.vector import And, Compare, Exists, Filter, Not, Or
from dify_kernel.contracts.vector_exact import Leaf
from dify_kernel.contracts.vector_tokens import leaf_tokens, said_by_tokens

__all__ = ["ArrayDialect", "Condition", "Dialect", "to_sql"]

Condition = tuple[str, list[Any]]


def to_sql(dialect: Dialect, filter: Filter | None) -> Condition:
    """The condition that a filter is of which `narrow` left what the dialect says; no filter is true."""
    match filter:
        case None:
            return dialect.always, []
        case And(items):
            return _joined([to_sql(dialect, item) for item in items], " AND ", dialect.always)
        case Or(items):
            return _joined([to_sql(dialect, item) for item in items], " OR ", f"NOT {dialect.always}")
        case Not(item):
            sql, values = to_sql(dialect, item)
            return f"(NOT {sql})", values
        case leaf:
            return dialect.leaf(leaf)


def _joined(parts: list[Condition], word: str, empty: str) -> Condition:
    if not parts:
        return f"({empty})", []
    return f"({word.join(sql for sql, _ in parts)})", [value for _, values in parts for value in values]


class Dialect(ABC):
    """How one engine says what `SqlVectorStore` needs. Conditions are true or false, never NULL.

    A table has the columns `COLUMNS`, the key (partition_id, id), and an index by words that is narrow within a
    partition. `words` holds every word of the text as often as it stands there, `tokens` what filters ask for.
    """

    COLUMNS = ("partition_id", "id", "text", "metadata", "embedding", "words", "length", "tokens")

    always = "true"
    #: Begins a transaction in which tables are made or removed: what keeps other processes away, where a table is not
    #: made by one statement.
    prepare: Sequence[str] = ()
    #: The cosine distance of the column to one bound vector.
    distance: str
    #: How many records one statement deletes, in an engine that is slow with them or bounds a transaction; 0: all.
    deleted_at_once = 0
    #: Vectors that a nearest-neighbour index takes are at most this long; 0: the engine has none.
    indexed_dimension = 0

    @abstractmethod
    def find_dimension(self, table: str) -> Condition:
        """Finds a row with the dimension, as a number or as what `read_dimension` takes, when the table is there."""

    def read_dimension(self, value: Any) -> int:
        """The dimension from what `find_dimension` found."""
        return int(value)

    @abstractmethod
    def create(self, table: str, dimension: int) -> list[Condition]:
        """Makes the table and its indexes; it was not there a moment ago."""

    @abstractmethod
    def drop(self, table: str) -> list[Condition]:
        """Removes the table."""

    @abstractmethod
    def upsert(self, table: str) -> str:
        """Writes one row of `COLUMNS`, replacing the one with its key."""

    @abstractmethod
    def vector(self, vector: Sequence[float]) -> Any:
        """The bound value of a vector."""

    @abstractmethod
    def read_vector(self, value: Any) -> list[float]:
        """A vector from what the engine gave for the column."""

    @abstractmethod
    def word(self, partition_id: str, term: str) -> Any:
        """What stands for a term in `words`: another thing in each partition, so that the index is narrow."""

    @abstractmethod
    def words(self, words: Iterable[Any]) -> Any:
        """The bound value of `words`."""

    @abstractmethod
    def tokens(self, tokens: Iterable[str]) -> Any:
        """The bound value of `tokens`."""

    @abstractmethod
    def sharing(self, words: Sequence[Any]) -> Condition:
        """The record holds any of some words."""

    @abstractmethod
    def shared(self, words: Sequence[Any]) -> Condition:
        """An expression: those of some words that the record holds, each as often as it does; maybe others too."""

    @abstractmethod
    def among(self, ids: Sequence[str]) -> Condition:
        """The record's id is any of some."""

    @abstractmethod
    def said(self, leaf: Leaf) -> bool:
        """Whether `leaf` says a leaf of a plain filter exactly."""

    @abstractmethod
    def leaf(self, leaf: Leaf) -> Condition:
        """The condition of a leaf that is said."""

    def find_index(self, index: str) -> Condition:
        """Finds a row when the nearest-neighbour index is there."""
        raise NotImplementedError

    def make_index(self, index: str, table: str, partition_id: str) -> str:
        """Makes the nearest-neighbour index of one partition while others write; run outside a transaction."""
        raise NotImplementedError

    def drop_index(self, index: str) -> str:
        """Removes it, if it is there; run outside a transaction."""
        raise NotImplementedError


_SIGNS = {"lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_EXACT = 2**53
_FEW = 64
_HEX = re.compile(r"[0-9a-f-]{36}")


class ArrayDialect(Dialect):
    """Array columns under an inverted index, JSON kept as written, and a vector type with `<=>` and an HNSW index.

    JSON stays text: the binary kind of the protocol turns 1e20 into an integer. An engine that is not `modern` branched
    off before `ON CONFLICT`, JSON functions and indexes of UUID arrays: it merges, and says of filters what tokens say.
    """

    #: A table that exists for all, `name` with `dimension`.
    register = "dify_vector_spaces"

    def __init__(
        self,
        *,
        vector_type: str = "vector",
        operator_class: str = "vector_cosine_ops",
        index_options: str = "m = 16, ef_construction = 64",
        indexed_dimension: int = 2000,
        modern: bool = True,
        prepare: Sequence[str] = (),
    ) -> None:
        self.distance = f"embedding <=> %s::{vector_type}"
        self.indexed_dimension = indexed_dimension
        self.prepare = [
            "SELECT pg_advisory_xact_lock(7146033)",
            *prepare,
            f"CREATE TABLE IF NOT EXISTS {self.register} (name varchar(63) PRIMARY KEY, dimension integer NOT NULL)",
        ]
        self._vector_type = vector_type
        self._operator_class = operator_class
        self._index_options = index_options
        self._modern = modern
        self._token_type = "uuid" if modern else "text"

    def find_dimension(self, table: str) -> Condition:
        return f"SELECT dimension FROM {self.register} WHERE name = %s", [table]  # noqa: S608 - a name that stands here

    def create(self, table: str, dimension: int) -> list[Condition]:
        columns = (
            f"partition_id uuid, id uuid, text text, metadata {'json' if self._modern else 'text'} NOT NULL, embedding"
            f" {self._vector_type}({dimension}) NOT NULL, words bigint[] NOT NULL, length integer NOT NULL,"
            f" tokens {self._token_type}[] NOT NULL, PRIMARY KEY (partition_id, id)"
        )
        return [
            (f"CREATE TABLE {table} ({columns})", []),
            (f"CREATE INDEX {table}_words ON {table} USING gin (words)", []),
            (f"CREATE INDEX {table}_tokens ON {table} USING gin (tokens)", []),
            (f"INSERT INTO {self.register} VALUES (%s, %s)", [table, dimension]),  # noqa: S608
        ]

    def drop(self, table: str) -> list[Condition]:
        registered = f"DELETE FROM {self.register} WHERE name = %s"  # noqa: S608 - a name that stands here
        return [(f"DROP TABLE IF EXISTS {table}", []), (registered, [table])]

    def upsert(self, table: str) -> str:
        columns = ", ".join(self.COLUMNS)
        kinds = ("uuid", "uuid", "text", "json" if self._modern else "text", self._vector_type, "bigint[]", "integer")
        typed = [f"%s::{kind}" for kind in (*kinds, f"{self._token_type}[]")]
        others = self.COLUMNS[2:]
        if self._modern:
            changes = ", ".join(f"{column} = excluded.{column}" for column in others)
            return (
                f"INSERT INTO {table} ({columns}) VALUES ({', '.join(typed)})"  # noqa: S608 - names are made here
                f" ON CONFLICT (partition_id, id) DO UPDATE SET {changes}"
            )
        given = ", ".join(f"{value} AS {column}" for value, column in zip(typed, self.COLUMNS, strict=True))
        changes = ", ".join(f"{column} = given.{column}" for column in others)
        return (
            f"MERGE INTO {table} AS held USING (SELECT {given}) AS given"  # noqa: S608 - names are made here
            f" ON (held.partition_id = given.partition_id AND held.id = given.id)"
            f" WHEN MATCHED THEN UPDATE SET {changes}"
            f" WHEN NOT MATCHED THEN INSERT ({columns})"
            f" VALUES ({', '.join(f'given.{column}' for column in self.COLUMNS)})"
        )

    def vector(self, vector: Sequence[float]) -> str:
        return msgspec.json.encode(vector).decode()

    def read_vector(self, value: Any) -> list[float]:
        return msgspec.json.decode(value, type=list[float])

    def word(self, partition_id: str, term: str) -> int:
        digest = hashlib.blake2b(f"{partition_id}\0{term}".encode(errors="replace"), digest_size=8).digest()
        return int.from_bytes(digest, "big", signed=True)

    def array(self, values: Iterable[Any]) -> str:
        """The bound value of a list of numbers, ids or tokens."""
        return f"{{{','.join(map(str, values))}}}"

    def words(self, words: Iterable[Any]) -> str:
        return self.array(words)

    def tokens(self, tokens: Iterable[str]) -> str:
        return self.array(tokens)

    def sharing(self, words: Sequence[Any]) -> Condition:
        return "words && %s::bigint[]", [self.array(words)]

    def shared(self, words: Sequence[Any]) -> Condition:
        return "ARRAY(SELECT word FROM unnest(words) AS word WHERE word = ANY(%s::bigint[]))", [self.array(words)]

    def among(self, ids: Sequence[str]) -> Condition:
        return "id = ANY(%s::uuid[])", [self.array(ids)]

    def said(self, leaf: Leaf) -> bool:
        if said_by_tokens(leaf):
            return True
        return self._modern and isinstance(leaf, Compare) and (leaf.op not in _SIGNS or abs(leaf.value) < _EXACT)

    def leaf(self, leaf: Leaf) -> Condition:
        match leaf:
            case Exists() | Compare("in"):
                return self._tokens(leaf_tokens(leaf))
            case Compare(op, field, value) if op in _SIGNS:
                return self._case(
                    field, f"WHEN 'number' THEN (metadata->>'{field}')::numeric {_SIGNS[op]} %s::numeric"
                ), [repr(value)]
            case Compare("contains", field, value):
                member = f"SELECT 1 FROM json_array_elements_text(metadata->'{field}') AS item(value) WHERE value = %s"  # noqa: S608
                inside = f"strpos(metadata->>'{field}', %s) > 0"
                return self._case(field, f"WHEN 'string' THEN {inside} WHEN 'array' THEN EXISTS ({member})"), [
                    value
                ] * 2
            case Compare(op, field, value):
                end = "left" if op == "starts_with" else "right"
                held = f"{end}(metadata->>'{field}', length(%s::text)) = %s"
                return self._case(field, f"WHEN 'string' THEN {held}"), [value] * 2

    def _case(self, field: str, cases: str) -> str:
        return f"(CASE json_typeof(metadata->'{field}') {cases} ELSE false END)"

    def _tokens(self, tokens: list[str]) -> Condition:
        """Few go through the index or are compared one by one; many are looked up in a table that the engine makes."""
        if len(tokens) <= _FEW:
            return f"(tokens && %s::{self._token_type}[])", [self.array(tokens)]
        among = f"SELECT 1 FROM unnest(tokens) AS token WHERE token = ANY(%s::{self._token_type}[])"  # noqa: S608
        return f"(EXISTS ({among}))", [self.array(tokens)]

    def find_index(self, index: str) -> Condition:
        return "SELECT 1 FROM pg_class WHERE relname = %s", [index]

    def make_index(self, index: str, table: str, partition_id: str) -> str:
        if not _HEX.fullmatch(partition_id):
            raise ValueError(f"{partition_id!r} is not the id of a partition.")
        return (
            f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {index} ON {table} USING hnsw (embedding {self._operator_class})"
            f" WITH ({self._index_options}) WHERE partition_id = '{partition_id}'"
        )

    def drop_index(self, index: str) -> str:
        return f"DROP INDEX IF EXISTS {index}"
