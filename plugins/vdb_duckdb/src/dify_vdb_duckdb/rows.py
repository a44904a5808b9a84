"""What stands in a table: its columns out of records, and records out of its rows; pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec
from dify_kernel.contracts.lexical import text_terms
from dify_kernel.contracts.vector import Metadata, Record, Space
from dify_kernel.contracts.vector_fit import native_name
from dify_kernel.contracts.vector_rules import unit
from dify_kernel.contracts.vector_tokens import metadata_tokens

from dify_vdb_duckdb.filters import numbers

__all__ = [
    "WHOLE",
    "columns",
    "create",
    "dimension_of",
    "metadata_of",
    "record_of",
    "table_of",
    "upsert",
    "vector_text",
]

WHOLE = "id::VARCHAR, text, metadata, vector::VARCHAR"
"""What `record_of` makes a record of."""

_numbers = msgspec.json.Decoder(list[float])
_metadata = msgspec.json.Decoder(Metadata)


def table_of(space: Space) -> str:
    """The table of a space; DuckDB does not tell names apart by case."""
    return native_name(space.name, prefix="space_")


def create(space: Space) -> str:
    """Makes the table if it is missing."""
    return (
        f"CREATE TABLE IF NOT EXISTS {table_of(space)} (id UUID PRIMARY KEY, partition VARCHAR NOT NULL,"
        f" text VARCHAR NOT NULL, metadata VARCHAR NOT NULL, vector FLOAT[{space.dimension}] NOT NULL,"
        " tokens UUID[] NOT NULL, numbers MAP(VARCHAR, DOUBLE) NOT NULL, words VARCHAR[] NOT NULL)"
    )


def upsert(space: Space) -> str:
    """Writes `columns`. Nested values come as text: DuckDB reads it several times faster than lists of Python."""
    return (
        f"INSERT OR REPLACE INTO {table_of(space)} BY NAME SELECT ? AS partition, unnest(?::UUID[]) AS id,"
        " unnest(?::VARCHAR[]) AS text, unnest(?::VARCHAR[]) AS metadata,"
        f" unnest(?::VARCHAR[])::FLOAT[{space.dimension}] AS vector, unnest(?::VARCHAR[])::UUID[] AS tokens,"
        " unnest(?::VARCHAR[])::JSON::MAP(VARCHAR, DOUBLE) AS numbers, unnest(?::VARCHAR[])::JSON::VARCHAR[] AS words"
    )


def columns(partition: str, records: Sequence[Record]) -> list[Any]:
    """The values of `upsert`."""
    return [
        partition,
        [record.id for record in records],
        [record.text for record in records],
        [_json(record.metadata) for record in records],
        [vector_text(record.vector) for record in records],
        [_json(metadata_tokens(record.metadata)) for record in records],
        [_json(numbers(record.metadata)) for record in records],
        [_json(text_terms(record.text)) for record in records],
    ]


def vector_text(vector: Sequence[float]) -> str:
    """The bound value of a vector, of length 1."""
    return _json(unit(vector))


def dimension_of(data_type: str) -> int:
    """The dimension in the type of the column, `FLOAT[6]`."""
    return int(re.findall(r"\d+", data_type)[-1])


def metadata_of(text: str) -> Metadata:
    """Metadata as they were given."""
    return _metadata.decode(text)


def record_of(row: Sequence[Any]) -> Record:
    """The record in a row of `WHOLE`."""
    id, text, metadata, vector = row
    return Record(id=id, text=text, metadata=metadata_of(metadata), vector=_numbers.decode(vector))


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
