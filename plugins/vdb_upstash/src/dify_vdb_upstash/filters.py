"""Says of the neutral filter what helps the service to find enough; the store checks all of it itself.

The service compares few records with a filter, leaves open what a missing field means, and does not tell kinds apart in
every case. So each field's value is kept as a token of `dify_kernel.contracts.vector_tokens`, and only that a field has
one of some values is said.
"""

from __future__ import annotations

from dify_kernel.contracts.vector import And, Compare, Filter, Metadata, Or
from dify_kernel.contracts.vector_exact import plain
from dify_kernel.contracts.vector_tokens import leaf_tokens

__all__ = ["OVER", "attributes_of", "expression_of"]

MOST = 200
"""Values in one expression."""
OVER = "over"
"""Marks a record whose fields are too many to be kept for expressions."""


def attributes_of(metadata: Metadata) -> dict[str, str]:
    """A token for each field that has one value."""
    return {
        field: leaf_tokens(Compare("in", field, [value]))[0]
        for field, value in metadata.items()
        if not isinstance(value, list)
    }


def expression_of(filter: Filter | None) -> str | None:
    """An expression that everything satisfies that the filter matches; None says nothing."""
    said = _said(plain(filter))
    if said is None or said.count(" IN ") > MOST or said.count(",") > MOST:
        return None
    return f"{said} OR {OVER} = 1"


def _said(filter: Filter | None) -> str | None:
    match filter:
        case And(items):
            parts = [said for said in map(_said, items) if said is not None]
            return f"({' AND '.join(parts)})" if parts else None
        case Or(items):
            either = [_said(item) for item in items]
            return None if None in either or not either else f"({' OR '.join(map(str, either))})"
        case Compare("in", field, [_, *_]):
            return f"f.{field} IN ({', '.join(repr(token) for token in leaf_tokens(filter))})"
    return None
