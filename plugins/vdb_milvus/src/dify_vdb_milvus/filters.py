"""Translates the neutral filter into expressions of Milvus.

Every row carries `tokens`: what `dify_kernel.contracts.vector_tokens` makes of its metadata. Only hexadecimal tokens,
ids and hashed names stand in an expression, nothing that a user wrote. Order and parts of texts are not said, nor is a
tree that is deep: the store checks these itself.
"""

from __future__ import annotations

from collections.abc import Iterable

from dify_kernel.contracts.vector import And, Filter, Not, Or
from dify_kernel.contracts.vector_exact import narrow
from dify_kernel.contracts.vector_fit import native_name
from dify_kernel.contracts.vector_tokens import leaf_tokens, said_by_tokens

__all__ = ["among", "conditions", "key_of", "to_expression", "within"]

DEEPEST = 8


def key_of(partition: str) -> str:
    """The partition key of a partition."""
    return native_name(partition)


def within(partition: str, *conditions: str) -> str:
    """The rows of a partition that satisfy all of the conditions."""
    return " and ".join([f'partition == "{key_of(partition)}"', *conditions])


def among(ids: Iterable[str]) -> str:
    """The rows with one of these ids, each of which is a UUID."""
    return f"id in [{', '.join(_quoted(ids))}]"


def conditions(filter: Filter | None) -> tuple[list[str], bool]:
    """What the engine is told of a filter, and whether that is all of it."""
    said, whole = narrow(filter, said_by_tokens)
    if said is None:
        return [], whole
    text = to_expression(said)
    return ([text], whole) if _depth(text) <= DEEPEST else ([], False)


def to_expression(filter: Filter, *, negated: bool = False) -> str:
    """The expression that a filter is, or its opposite, when tokens say all of it."""
    match filter:
        case Not(item):
            return to_expression(item, negated=not negated)
        case And(items) | Or(items):
            every = isinstance(filter, And) is not negated
            parts = [to_expression(item, negated=negated) for item in items]
            if len(parts) < 2:
                return parts[0] if parts else _truth(every)
            return f"({(' and ' if every else ' or ').join(parts)})"
        case leaf:
            tokens = leaf_tokens(leaf)
            if not tokens:
                return _truth(negated)
            return f"{'not ' if negated else ''}array_contains_any(tokens, [{', '.join(_quoted(tokens))}])"


def _quoted(texts: Iterable[str]) -> list[str]:
    return [f'"{text}"' for text in texts]


def _truth(value: bool) -> str:
    return 'id != ""' if value else 'id == ""'


def _depth(text: str) -> int:
    deepest = depth = 0
    for char in text:
        depth += (char == "(") - (char == ")")
        deepest = max(deepest, depth)
    return deepest
