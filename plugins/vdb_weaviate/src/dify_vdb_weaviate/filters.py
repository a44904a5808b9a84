"""Translates the neutral filter into Weaviate's, as plain data.

A property has one type and Weaviate knows "is none of" by newer servers alone, so every record carries `tokens`: what
`dify_kernel.contracts.vector_tokens` makes of its metadata, and one that all records have. "Has one of these" and "has
not this one" say the rest; the latter always stands beside the token of all, since the opposite of an inverted index's
row also holds numbers of records that are gone. Order and parts of texts are not said: the store checks these itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dify_kernel.contracts.vector import And, Filter, Not, Or
from dify_kernel.contracts.vector_exact import narrow
from dify_kernel.contracts.vector_tokens import leaf_tokens, said_by_tokens

__all__ = ["ALL", "Where", "by_ids", "to_where", "where_of"]

Where = dict[str, Any]

ALL = "all"
"""The token that every record has; others are 32 hexadecimal digits."""
MOST = 1000
"""Tokens in one filter."""
DEEPEST = 20
"""Conditions within conditions."""

EQUAL, NOT_EQUAL, AND, OR, CONTAINS_ANY = 1, 2, 7, 8, 12

_ALWAYS: Where = {"operator": EQUAL, "target": {"property": "tokens"}, "value_text": ALL}
_NEVER: Where = {"operator": EQUAL, "target": {"property": "tokens"}, "value_text": "none"}


def where_of(filter: Filter | None) -> tuple[Where | None, bool]:
    """The condition for records that may satisfy the filter, and whether these do; None is no condition."""
    said, whole = narrow(filter, said_by_tokens)
    if said is None:
        return None, whole
    where = to_where(said)
    size, depth = _measured(where)
    if size > MOST or depth > DEEPEST:
        return None, False
    return {"operator": AND, "filters": [_ALWAYS, where]}, whole


def by_ids(ids: Sequence[str]) -> Where:
    """The condition for records with these ids."""
    return {"operator": CONTAINS_ANY, "target": {"property": "_id"}, "value_text_array": {"values": list(ids)}}


def to_where(filter: Filter, *, negated: bool = False) -> Where:
    """The condition that a filter is, or its opposite, when tokens say all of it."""
    match filter:
        case Not(item):
            return to_where(item, negated=not negated)
        case And(items) | Or(items):
            return _joined([to_where(item, negated=negated) for item in items], isinstance(filter, And) is not negated)
        case leaf:
            tokens = leaf_tokens(leaf)
            if negated:
                return _joined([_token(NOT_EQUAL, value_text=token) for token in tokens], True)
            if len(tokens) < 2:
                return _token(EQUAL, value_text=tokens[0]) if tokens else _NEVER
            return _token(CONTAINS_ANY, value_text_array={"values": tokens})


def _token(operator: int, **value: Any) -> Where:
    return {"operator": operator, "target": {"property": "tokens"}, **value}


def _joined(parts: list[Where], all_of_them: bool) -> Where:
    if len(parts) < 2:
        return parts[0] if parts else _ALWAYS if all_of_them else _NEVER
    return {"operator": AND if all_of_them else OR, "filters": parts}


def _measured(where: Where) -> tuple[int, int]:
    """How many tokens there are, and how deep they lie."""
    parts = where.get("filters")
    if parts is None:
        return len(where.get("value_text_array", {}).get("values", "1")), 1
    sizes = [_measured(part) for part in parts]
    return sum(size for size, _ in sizes), 1 + max(depth for _, depth in sizes)
