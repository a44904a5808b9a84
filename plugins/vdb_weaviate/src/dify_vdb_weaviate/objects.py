"""Turns records into Weaviate's objects, and results back; says how a collection for them is made."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import msgspec
from dify_kernel.contracts.lexical import text_terms
from dify_kernel.contracts.vector import Hit, Metadata, Record, Space
from dify_kernel.contracts.vector_fit import native_name
from dify_kernel.contracts.vector_rules import unit
from dify_kernel.contracts.vector_tokens import metadata_tokens

from dify_vdb_weaviate.filters import ALL

__all__ = [
    "collection_of",
    "dimension_of",
    "metadata_of",
    "name_of",
    "packed",
    "tenant_of",
    "to_hit",
    "to_object",
    "to_record",
    "values_of",
]

_KEPT = {"indexFilterable": False, "indexSearchable": False}


def name_of(space: Space) -> str:
    """The collection of a space: it begins with a capital, and case alone does not tell two apart."""
    return native_name(space.name, prefix="Dify_")


def tenant_of(partition: str) -> str:
    """The tenant of a partition: letters, digits and `_`, at most 64. The true name stands in every record."""
    return native_name(partition)


def collection_of(space: Space) -> dict[str, Any]:
    """What a collection is made of: vectors are ours, words are split at spaces, tokens are taken whole."""
    return {
        "class": name_of(space),
        "description": msgspec.json.encode({"space": space.name, "dimension": space.dimension}).decode(),
        "vectorizer": "none",
        "vectorIndexType": "hnsw",
        "vectorIndexConfig": {"distance": "cosine", "skipDefaultQuantization": True},
        "multiTenancyConfig": {"enabled": True, "autoTenantCreation": True, "autoTenantActivation": True},
        "invertedIndexConfig": {"stopwords": {"preset": "none"}},
        "properties": [
            {"name": "partition", "dataType": ["text"], **_KEPT},
            {"name": "text", "dataType": ["text"], **_KEPT},
            {"name": "metadata", "dataType": ["text"], **_KEPT},
            {
                "name": "words",
                "dataType": ["text"],
                "tokenization": "whitespace",
                "indexFilterable": False,
                "indexSearchable": True,
            },
            {
                "name": "tokens",
                "dataType": ["text[]"],
                "tokenization": "field",
                "indexFilterable": True,
                "indexSearchable": False,
            },
        ],
    }


def dimension_of(collection: dict[str, Any]) -> int | None:
    """The dimension that a collection was made for; None for one that is not the store's."""
    try:
        kept = msgspec.json.decode(collection.get("description") or "", type=dict[str, Any])
    except msgspec.DecodeError:
        return None
    dimension = kept.get("dimension")
    return dimension if isinstance(dimension, int) else None


def packed(vector: Sequence[float]) -> bytes:
    """A vector of length 1 as the server takes it: numbers of 32 bits, the lowest byte first."""
    return struct.pack(f"<{len(vector)}f", *unit(vector))


def to_object(space: Space, partition: str, record: Record) -> dict[str, Any]:
    """An object of a batch."""
    texts = {
        "partition": partition,
        "text": record.text,
        "metadata": msgspec.json.encode(record.metadata).decode(),
        "words": " ".join(text_terms(record.text)),
    }
    tokens = [ALL, *metadata_tokens(record.metadata)]
    return {
        "uuid": record.id,
        "collection": name_of(space),
        "tenant": tenant_of(partition),
        "vector_bytes": packed(record.vector),
        "properties": {
            "non_ref_properties": {
                "fields": [{"key": key, "value": {"string_value": value}} for key, value in texts.items()]
            },
            "text_array_properties": [{"prop_name": "tokens", "values": tokens}],
        },
    }


def values_of(result: Any) -> dict[str, str]:
    """The properties that came with a result."""
    return {entry.key: entry.value.text_value for entry in result.properties.non_ref_props.fields}


def metadata_of(result: Any) -> Metadata:
    """A record's own metadata; empty when it was not asked for."""
    return msgspec.json.decode(values_of(result).get("metadata", "{}"), type=dict)


def to_record(result: Any) -> Record:
    """A record with its vector."""
    vector = result.metadata.vector_bytes
    return Record(
        id=result.metadata.id,
        text=values_of(result).get("text", ""),
        vector=list(struct.unpack(f"<{len(vector) // 4}f", vector)),
        metadata=metadata_of(result),
    )


def to_hit(result: Any, score: float) -> Hit:
    """A found record."""
    return Hit(id=result.metadata.id, text=values_of(result).get("text", ""), score=score, metadata=metadata_of(result))
