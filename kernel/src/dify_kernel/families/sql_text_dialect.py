"""The dialect of engines with the MySQL protocol: no arrays, so words and tokens are texts, and JSON is asked by path.

A word is a number of `WIDTH` digits. Tokens are a JSON list. What an engine finds words by is its own, and the
plugin's to say.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Container, Iterable, Sequence
from typing import Any

import msgspec

from dify_kernel.contracts.vector import Compare, Exists
from dify_kernel.contracts.vector_exact import Leaf
from dify_kernel.contracts.vector_tokens import leaf_tokens, said_by_tokens
from dify_kernel.families.sql_dialect import Condition, Dialect

__all__ = ["WIDTH", "TextDialect"]

WIDTH = 19
"""How many digits a word has."""

_FIRST: int = 10 ** (WIDTH - 1)
_LAST = 2**63
_SIGNS = {"lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_NUMBERS = "'INTEGER', 'UNSIGNED INTEGER', 'DOUBLE', 'DECIMAL'"
_EXACT = 2**53


class TextDialect(Dialect):
    """A vector type that is written and read as a JSON list, JSON functions, and `ON DUPLICATE KEY UPDATE`.

    Metadata stays text: a JSON column would change its numbers. Tables are no part of a transaction here, but one is
    made with its indexes by one statement, and its dimension is read from its definition.
    """

    deleted_at_once = 1_000
    #: The type of the column of a vector, without its dimension.
    vector_type = "VECTOR"
    #: The type of `words`, and `words` as a text.
    words_type, words_text = "LONGTEXT", "words"

    @abstractmethod
    def find_words(self, table: str) -> str:
        """What the definition of a table says of the index by words."""

    def find_dimension(self, table: str) -> Condition:
        return (
            "SELECT column_type FROM information_schema.columns"
            " WHERE table_schema = DATABASE() AND table_name = %s AND column_name = 'embedding'"
        ), [table]

    def read_dimension(self, value: Any) -> int:
        return int(str(value).rpartition("(")[2].strip(" )"))  # VECTOR(6)

    def create(self, table: str, dimension: int) -> list[Condition]:
        columns = (
            "partition_id CHAR(36) NOT NULL, id CHAR(36) NOT NULL, text LONGTEXT NOT NULL, metadata LONGTEXT NOT NULL,"
            f" embedding {self.vector_type}({dimension}) NOT NULL, words {self.words_type} NOT NULL,"
            f" length INTEGER NOT NULL, tokens LONGTEXT NOT NULL, PRIMARY KEY (partition_id, id),"
            f" {self.find_words(table)}"
        )
        charset = "DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin"
        return [(f"CREATE TABLE IF NOT EXISTS {table} ({columns}) {charset}", [])]

    def drop(self, table: str) -> list[Condition]:
        return [(f"DROP TABLE IF EXISTS {table}", [])]

    def upsert(self, table: str) -> str:
        columns, places = ", ".join(self.COLUMNS), ", ".join(["%s"] * len(self.COLUMNS))
        changes = ", ".join(f"{column} = VALUES({column})" for column in self.COLUMNS[2:])
        return f"INSERT INTO {table} ({columns}) VALUES ({places}) ON DUPLICATE KEY UPDATE {changes}"  # noqa: S608

    def vector(self, vector: Sequence[float]) -> str:
        return msgspec.json.encode(vector).decode()

    def read_vector(self, value: Any) -> list[float]:
        return msgspec.json.decode(value, type=list[float])

    def word(self, partition_id: str, term: str) -> str:
        digest = hashlib.blake2b(f"{partition_id}\0{term}".encode(errors="replace"), digest_size=8).digest()
        return str(_FIRST + int.from_bytes(digest, "big") % (_LAST - _FIRST))

    def words(self, words: Iterable[Any]) -> str:
        return " ".join(words)

    def tokens(self, tokens: Iterable[str]) -> str:
        return msgspec.json.encode(list(tokens)).decode()

    def shared(self, words: Sequence[Any]) -> Condition:
        return self.words_text, []  # counting them in the engine takes fifty times as long as reading them all

    def held(self, value: str, words: Container[str]) -> list[str]:
        """Those of some words that are in the value of `shared`, which is all words of the record."""
        return [word for word in value.strip("[]").replace(",", " ").split() if word in words]

    def among(self, ids: Sequence[str]) -> Condition:
        if not ids:
            return "(NOT true)", []
        return f"id IN ({', '.join(['%s'] * len(ids))})", list(ids)

    def said(self, leaf: Leaf) -> bool:
        if said_by_tokens(leaf):
            return True
        return isinstance(leaf, Compare) and (leaf.op not in _SIGNS or abs(leaf.value) < _EXACT)

    def leaf(self, leaf: Leaf) -> Condition:
        match leaf:
            case Exists() | Compare("in"):
                return "(JSON_OVERLAPS(tokens, %s))", [self.tokens(leaf_tokens(leaf))]
            case Compare(op, field, value) if op in _SIGNS:
                held = _held(field)
                return f"(CASE WHEN JSON_TYPE({held}) IN ({_NUMBERS}) THEN {held} {_SIGNS[op]} %s ELSE false END)", [
                    value
                ]
            case Compare("contains", field, value):
                # As bytes: no engine folds these, or leaves out spaces.
                inside = f"LOCATE(CAST(%s AS BINARY), {_bytes(field)}) > 0"
                member = f"JSON_CONTAINS({_held(field)}, %s)"
                quoted = msgspec.json.encode(value).decode()
                return _case(field, f"WHEN 'STRING' THEN {inside} WHEN 'ARRAY' THEN {member}"), [value, quoted]
            case Compare(op, field, value):
                end = "LEFT" if op == "starts_with" else "RIGHT"
                held = f"{end}({_bytes(field)}, {len(value.encode())}) = CAST(%s AS BINARY)"
                return _case(field, f"WHEN 'STRING' THEN {held}"), [value]


def _held(field: str) -> str:
    """The value of a checked field."""
    return f"JSON_EXTRACT(metadata, '$.\"{field}\"')"


def _bytes(field: str) -> str:
    return f"CAST(JSON_UNQUOTE({_held(field)}) AS BINARY)"


def _case(field: str, cases: str) -> str:
    return f"(CASE JSON_TYPE({_held(field)}) {cases} ELSE false END)"
