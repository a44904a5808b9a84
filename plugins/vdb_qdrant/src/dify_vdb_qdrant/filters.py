"""Translates the neutral filter into Qdrant's, as the plain data of its REST language.

Qdrant looks into lists and does not tell kinds apart, so every record carries `tokens`: what
`dify_kernel.contracts.vector_tokens` makes of its metadata, and `page:number` for a field that is a number. Text inside
text, and order beside integers that a double cannot hold, are not in its language: `said` is false for these, and the
store evaluates them itself.
"""

from __future__ import annotations

from typing import Any

from dify_kernel.contracts.vector import And, Compare, Filter, Metadata, Not, Or
from dify_kernel.contracts.vector_exact import Leaf
from dify_kernel.contracts.vector_tokens import leaf_tokens, metadata_tokens, said_by_tokens

__all__ = ["NEVER", "Condition", "said", "to_condition", "tokens"]

Condition = dict[str, Any]

NEVER: Condition = {"has_id": []}
_RANGES = {"lt": "lt", "le": "lte", "gt": "gt", "ge": "gte"}
_EXACT = 2**53


def tokens(metadata: Metadata) -> list[str]:
    """What the payload says about the fields of a record."""
    numbers = [f"{field}:number" for field, value in metadata.items() if type(value) in (int, float)]
    return metadata_tokens(metadata) + numbers


def said(leaf: Leaf) -> bool:
    """Whether `to_condition` says a leaf of a plain filter."""
    return said_by_tokens(leaf) or (isinstance(leaf, Compare) and leaf.op in _RANGES and abs(leaf.value) < _EXACT)


def to_condition(filter: Filter) -> Condition:
    """The condition that a filter is of which `narrow` left what is said."""
    match filter:
        case And(items):
            return {"must": [to_condition(item) for item in items]} if items else {"must_not": [NEVER]}
        case Or(items):
            return {"should": [to_condition(item) for item in items]} if items else NEVER
        case Not(item):
            return {"must_not": [to_condition(item)]}
        case Compare(op, field, value) if op in _RANGES:
            of_number = {"key": "tokens", "match": {"value": f"{field}:number"}}
            return {"must": [of_number, {"key": f"metadata.{field}", "range": {_RANGES[op]: value}}]}
        case leaf:
            wanted = leaf_tokens(leaf)
            return {"key": "tokens", "match": {"any": wanted}} if wanted else NEVER
