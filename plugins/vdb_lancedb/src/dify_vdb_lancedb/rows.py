"""Turns records into Arrow tables and rows back into records. Arrow is imported when the first table is made."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from dify_kernel.contracts.lexical import text_terms
from dify_kernel.contracts.vector import Hit, Record, Space
from dify_kernel.contracts.vector_fit import native_name
from dify_kernel.contracts.vector_rules import unit
from dify_kernel.contracts.vector_tokens import metadata_tokens

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["FOUND", "STORED", "schema_of", "to_hit", "to_record", "to_table"]

FOUND = ["id", "text", "metadata"]
STORED = [*FOUND, "vector"]


def schema_of(space: Space) -> pa.Schema:
    """The columns of a space. `metadata` is JSON, `words` are terms with spaces between, vectors have length 1."""
    import pyarrow as pa

    text = pa.string()
    return pa.schema(
        [
            pa.field("id", text, nullable=False),
            pa.field("partition", text, nullable=False),
            pa.field("text", text, nullable=False),
            pa.field("metadata", text, nullable=False),
            pa.field("tokens", pa.list_(text), nullable=False),
            pa.field("words", text, nullable=False),
            pa.field("vector", pa.list_(pa.float32(), space.dimension), nullable=False),
        ]
    )


def to_table(space: Space, partition: str, records: Sequence[Record]) -> pa.Table:
    """Records as rows of their partition."""
    import pyarrow as pa

    numbers = array("f")
    for record in records:
        numbers.extend(unit(record.vector))
    columns = [
        [record.id for record in records],
        [native_name(partition)] * len(records),
        [record.text for record in records],
        [msgspec.json.encode(record.metadata).decode() for record in records],
        [metadata_tokens(record.metadata) for record in records],
        [" ".join(text_terms(record.text)) for record in records],
    ]
    schema = schema_of(space)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=False)]
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(numbers, pa.float32()), space.dimension)
    return pa.Table.from_arrays([*arrays, vectors], schema=schema)


def to_record(row: dict[str, Any]) -> Record:
    """A row read with the columns STORED."""
    return Record(
        id=row["id"], text=row["text"], vector=row["vector"], metadata=msgspec.json.decode(row["metadata"], type=dict)
    )


def to_hit(row: dict[str, Any], score: float) -> Hit:
    """A row read with the columns FOUND."""
    return Hit(id=row["id"], text=row["text"], score=score, metadata=msgspec.json.decode(row["metadata"], type=dict))
