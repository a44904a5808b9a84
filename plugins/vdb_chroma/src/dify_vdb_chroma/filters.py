"""Translates the neutral filter into Chroma's `where`.

Chroma types a field by its value and has no "is there", so every record carries `tokens`: what
`dify_kernel.contracts.vector_tokens` makes of its metadata. Order, parts of texts, and filters of more tokens than the
server's database bears are not said: the store checks these itself.
"""

from __future__ import annotations

from typing import Any

from dify_kernel.contracts.vector import And, Filter, Not, Or
from dify_kernel.contracts.vector_exact import narrow
from dify_kernel.contracts.vector_rules import check_partition
from dify_kernel.contracts.vector_tokens import leaf_tokens, said_by_tokens

__all__ = ["Where", "every", "to_where", "where_of"]

Where = dict[str, Any]

MOST = 300
"""Conditions in one filter."""
DEEPEST = 10
"""Conditions within conditions."""

_ALWAYS: Where = {"key": {"$gte": 0}}
_NEVER: Where = {"key": {"$lt": 0}}


def every(*parts: Where) -> Where:
    """All of the conditions."""
    return parts[0] if len(parts) == 1 else {"$and": list(parts)}


def where_of(partition: str, filter: Filter | None) -> tuple[Where, bool]:
    """The records of a partition that may satisfy the filter, and whether these do."""
    check_partition(partition)
    within: Where = {"partition": partition}
    said, whole = narrow(filter, said_by_tokens)
    if said is None:
        return within, whole
    where = to_where(said)
    size, depth = _measured(where)
    if size > MOST or depth > DEEPEST:
        return within, False
    return every(within, where), whole


def to_where(filter: Filter, *, negated: bool = False) -> Where:
    """The condition that a filter is, or its opposite, when tokens say all of it."""
    match filter:
        case Not(item):
            return to_where(item, negated=not negated)
        case And(items) | Or(items):
            return _joined([to_where(item, negated=negated) for item in items], isinstance(filter, And) is not negated)
        case leaf:
            word = "$not_contains" if negated else "$contains"
            return _joined([{"tokens": {word: token}} for token in leaf_tokens(leaf)], negated)


def _joined(parts: list[Where], all_of_them: bool) -> Where:
    if len(parts) < 2:
        return parts[0] if parts else _ALWAYS if all_of_them else _NEVER
    return {"$and" if all_of_them else "$or": parts}


def _measured(where: Where) -> tuple[int, int]:
    """How many conditions there are, and how deep they lie."""
    parts = where.get("$and") or where.get("$or")
    if parts is None:
        return 1, 1
    sizes = [_measured(part) for part in parts]
    return sum(size for size, _ in sizes), 1 + max(depth for _, depth in sizes)
