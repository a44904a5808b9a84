"""What search engines are told, as plain data of the JSON language they share: an index, its documents, and filters.

`tokens` of a document are what `vector_tokens` makes of its metadata. `numbers` holds each number of it as a word that
sorts like the number, 64-bit integers and doubles alike, behind the name of its field: one keyword field is enough for
any number of fields, where a mapping of its own for each would end at the engine's limit. `terms` holds the words of
the text, joined by spaces.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Any

import msgspec

from dify_kernel.contracts.lexical import text_terms
from dify_kernel.contracts.vector import And, Compare, Filter, Metadata, Not, Or, Record
from dify_kernel.contracts.vector_exact import Leaf, narrow
from dify_kernel.contracts.vector_rules import check_partition, unit
from dify_kernel.contracts.vector_tokens import leaf_tokens, metadata_tokens, said_by_tokens

__all__ = [
    "ALWAYS",
    "NEVER",
    "Json",
    "all_of",
    "index_body",
    "numbers",
    "routing",
    "to_document",
    "to_query",
    "within",
]

Json = dict[str, Any]

ALWAYS: Json = {"match_all": {}}
NEVER: Json = {"match_none": {}}
_RANGES = ("lt", "le", "gt", "ge")
#: Engines refuse a list of more than 65,536 values, and queries within queries beyond 30.
_MOST_TERMS = 50_000
_DEEPEST = 20


# -- an index and its documents --------------------------------------------------------------------------------


def index_body(dimension: int, settings: Json, vector: Json) -> Json:
    """The body that makes the index of a space; what is not mapped is kept and given back, and costs no index."""
    keyword = {"type": "keyword"}
    properties = {
        "id": keyword,
        "group_id": keyword,
        "tokens": keyword,
        "numbers": keyword,
        "terms": {"type": "text", "analyzer": "whitespace"},
        "vector": vector,
    }
    mappings = {"dynamic": False, "_meta": {"dimension": dimension}, "properties": properties}
    return {"settings": {"index": settings}, "mappings": mappings} if settings else {"mappings": mappings}


def to_document(partition: str, record: Record) -> Json:
    """A record as a document, its vector normalised; metadata is text, which no engine takes apart and retypes."""
    return {
        "id": record.id,
        "group_id": partition,
        "page_content": record.text,
        "metadata": msgspec.json.encode(record.metadata).decode(),
        "tokens": metadata_tokens(record.metadata),
        "numbers": numbers(record.metadata),
        "terms": " ".join(text_terms(record.text)),
        "vector": unit(record.vector),
    }


def routing(partition: str) -> str:
    """What a partition is routed by: a comma in its name would mean several, so its hash."""
    check_partition(partition)
    return hashlib.blake2b(partition.encode(), digest_size=8).hexdigest()


def numbers(metadata: Metadata) -> list[str]:
    """The numbers of a record, as words."""
    return [f"{field}:{_sortable(value)}" for field, value in metadata.items() if type(value) in (int, float)]


def _sortable(value: float) -> str:
    """20 hexadecimal digits in the order of numbers: the nearest double, then by how much an integer misses it."""
    near = float(value)
    missed = value - int(near) if isinstance(value, int) else 0
    (bits,) = struct.unpack(">Q", struct.pack(">d", near + 0.0))  # makes -0.0 the same as 0.0
    bits ^= 2**64 - 1 if bits >> 63 else 2**63
    return f"{bits:016x}{missed + 0x8000:04x}"


# -- filters ---------------------------------------------------------------------------------------------------


def within(partition: str, filter: Filter | None) -> tuple[Json, bool]:
    """The query for the records of a partition that may satisfy a checked filter, and whether that is all of it."""
    here = {"term": {"group_id": partition}}
    narrowed, whole = narrow(filter, _said)
    if narrowed is None:
        return here, whole
    query = to_query(narrowed)
    return (all_of([here, query]), whole) if _depth(query) <= _DEEPEST else (here, False)


def to_query(filter: Filter) -> Json:
    """The query that a filter is of which `narrow` left what is said."""
    match filter:
        case And(items):
            return all_of([to_query(item) for item in items])
        case Or(items):
            return _any_of([to_query(item) for item in items])
        case Not(item):
            return _none_of(to_query(item))
        case Compare(op, field, value) if op in _RANGES:
            return {"range": {"numbers": _bounds(op, field, _sortable(value))}}
        case leaf:
            wanted = leaf_tokens(leaf)
            parts = [wanted[start : start + _MOST_TERMS] for start in range(0, len(wanted), _MOST_TERMS)]
            return _any_of([{"terms": {"tokens": part}} for part in parts])


def all_of(queries: list[Json]) -> Json:
    """All of some queries, without a score; of none, everything."""
    if len(queries) > 1:
        return {"bool": {"filter": queries}}
    return queries[0] if queries else ALWAYS


def _any_of(queries: list[Json]) -> Json:
    if len(queries) > 1:
        return {"bool": {"should": queries, "minimum_should_match": 1}}
    return queries[0] if queries else NEVER


def _none_of(query: Json) -> Json:
    if query == NEVER:
        return ALWAYS
    negated = query.get("bool", {}).get("must_not")
    return negated[0] if negated else {"bool": {"must_not": [query]}}


def _bounds(op: str, field: str, word: str) -> Json:
    """Words of this field alone, on one side of a number: `:` begins them all and `;` comes after them."""
    match op:
        case "lt":
            return {"gte": f"{field}:", "lt": f"{field}:{word}"}
        case "le":
            return {"gte": f"{field}:", "lte": f"{field}:{word}"}
        case "gt":
            return {"gt": f"{field}:{word}", "lt": f"{field};"}
    return {"gte": f"{field}:{word}", "lt": f"{field};"}


def _said(leaf: Leaf) -> bool:
    return said_by_tokens(leaf) or (isinstance(leaf, Compare) and leaf.op in _RANGES)


def _depth(query: Json) -> int:
    inner = [item for items in query.get("bool", {}).values() if isinstance(items, list) for item in items]
    return 1 + max(map(_depth, inner), default=0)
