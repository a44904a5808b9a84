"""Filters as conditions of DuckDB, with bound values; pure.

Kinds and values are compared by tokens, numbers in order by the column `numbers`, parts of texts in the JSON.
"""

from __future__ import annotations

from typing import Any

from dify_kernel.contracts.vector import And, Compare, Filter, Metadata, Not, Or
from dify_kernel.contracts.vector_exact import Leaf
from dify_kernel.contracts.vector_tokens import leaf_tokens, said_by_tokens

__all__ = ["Condition", "numbers", "said", "to_sql"]

Condition = tuple[str, list[Any]]

_SIGNS = {"lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_PARTS = {"contains": "contains", "starts_with": "starts_with", "ends_with": "suffix"}
_EXACT = 2**53  # up to here a double is every integer


def numbers(metadata: Metadata) -> dict[str, float]:
    """The column `numbers` of a record: its fields that are numbers."""
    return {
        field: float(value)
        for field, value in metadata.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def said(leaf: Leaf) -> bool:
    """Whether `to_sql` says a leaf of a plain filter exactly; for `narrow`."""
    return said_by_tokens(leaf) or (isinstance(leaf, Compare) and (leaf.op in _PARTS or abs(leaf.value) < _EXACT))


def to_sql(filter: Filter | None) -> Condition:
    """The condition, true or false but never NULL, of what `narrow` left of a filter; no filter is true."""
    match filter:
        case None:
            return "true", []
        case And(items):
            return _joined([to_sql(item) for item in items], " AND ", "true")
        case Or(items):
            return _joined([to_sql(item) for item in items], " OR ", "false")
        case Not(item):
            sql, values = to_sql(item)
            return f"(NOT {sql})", values
        case Compare(op, field, value) if op in _SIGNS:
            return f"coalesce(map_extract_value(numbers, ?) {_SIGNS[op]} ?::DOUBLE, false)", [field, value]
        case Compare("contains", field, value):
            member = "WHEN 'ARRAY' THEN list_contains(json_extract_string(metadata, ?), ?)"
            return _text("contains", member), [f"$.{field}", f"$.{field}", value, f"$.{field}[*]", value]
        case Compare(op, field, value) if op in _PARTS:
            return _text(_PARTS[op]), [f"$.{field}", f"$.{field}", value]
        case leaf:
            return "list_has_any(tokens, ?::UUID[])", [leaf_tokens(leaf)]


def _text(function: str, others: str = "") -> str:
    held = f"WHEN 'VARCHAR' THEN {function}(json_extract_string(metadata, ?), ?)"
    return f"(CASE json_type(metadata, ?) {held} {others} ELSE false END)"


def _joined(parts: list[Condition], word: str, empty: str) -> Condition:
    if not parts:
        return empty, []
    return f"({word.join(sql for sql, _ in parts)})", [value for _, values in parts for value in values]
