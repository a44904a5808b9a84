"""Translates the neutral filter into conditions of LanceDB's SQL.

Every row carries `tokens`: what `dify_kernel.contracts.vector_tokens` makes of its metadata. Only hexadecimal tokens,
ids and hashed names stand in a condition, nothing that a user wrote. Order and parts of texts are not said, nor is a
tree that is too deep for the engine's parser: the store checks these itself.
"""

from __future__ import annotations

from collections.abc import Iterable

from dify_kernel.contracts.vector import And, Filter, Not, Or
from dify_kernel.contracts.vector_exact import narrow
from dify_kernel.contracts.vector_fit import native_name
from dify_kernel.contracts.vector_tokens import leaf_tokens, said_by_tokens

__all__ = ["among", "conditions", "to_sql", "within"]

DEEPEST = 8
"""Brackets within brackets that are said; the parser gives up at some 20."""


def within(partition: str, *conditions: str) -> str:
    """The rows of a partition that satisfy all of the conditions."""
    return " AND ".join([f"partition = '{native_name(partition)}'", *conditions])


def among(ids: Iterable[str]) -> str:
    """The rows with one of these ids, each of which is a UUID."""
    listed = ", ".join(f"'{id}'" for id in ids)
    return f"id IN ({listed})" if listed else "false"


def conditions(filter: Filter | None) -> tuple[list[str], bool]:
    """What the engine is told of a filter, and whether that is all of it."""
    said, whole = narrow(filter, said_by_tokens)
    if said is None:
        return [], whole
    sql = to_sql(said)
    return ([sql], whole) if _depth(sql) <= DEEPEST else ([], False)


def to_sql(filter: Filter, *, negated: bool = False) -> str:
    """The condition that a filter is, or its opposite, when tokens say all of it."""
    match filter:
        case Not(item):
            return to_sql(item, negated=not negated)
        case And(items) | Or(items):
            every = isinstance(filter, And) is not negated
            parts = [to_sql(item, negated=negated) for item in items]
            if len(parts) < 2:
                return parts[0] if parts else _truth(every)
            return f"({(' AND ' if every else ' OR ').join(parts)})"
        case leaf:
            tokens = ", ".join(f"'{token}'" for token in leaf_tokens(leaf))
            if not tokens:
                return _truth(negated)
            return f"{'NOT ' if negated else ''}array_has_any(tokens, [{tokens}])"


def _truth(value: bool) -> str:
    return "true" if value else "false"


def _depth(sql: str) -> int:
    deepest = depth = 0
    for char in sql:
        depth += (char == "(") - (char == ")")
        deepest = max(deepest, depth)
    return deepest
