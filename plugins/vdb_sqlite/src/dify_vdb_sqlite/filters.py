"""Translates the neutral filter into an SQL condition over the JSON column `metadata`, every value bound.

Each condition is 0 or 1 and never NULL, so that NOT means what the contract says. Field names stand in the SQL: give
only filters that `check_filter` has passed.
"""

from __future__ import annotations

import json
from typing import Any

from dify_kernel.contracts.vector import And, Compare, Exists, Filter, Not, Or

__all__ = ["to_sql"]

_SIGNS = {"lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_NUMERIC = "('integer', 'real')"


def to_sql(filter: Filter | None) -> tuple[str, list[Any]]:
    """A condition and its parameters in order; no filter is the condition `1`."""
    match filter:
        case None:
            return "1", []
        case And(items):
            return _joined(items, " AND ", "1")
        case Or(items):
            return _joined(items, " OR ", "0")
        case Not(item):
            condition, values = to_sql(item)
            return f"(NOT {condition})", values
        case Exists(field):
            return f"({_type(field)} IS NOT NULL)", []
        case Compare(op, field, value):
            return _compare(op, field, value)


def _joined(items: list[Filter], word: str, empty: str) -> tuple[str, list[Any]]:
    parts = [to_sql(item) for item in items]
    if not parts:
        return empty, []
    return f"({word.join(sql for sql, _ in parts)})", [value for _, values in parts for value in values]


def _compare(op: str, field: str, value: Any) -> tuple[str, list[Any]]:
    kind, held = _type(field), _value(field)
    if op in ("eq", "in"):
        return _among(field, [value] if op == "eq" else value)
    if op in ("ne", "not_in"):
        condition, values = _among(field, [value] if op == "ne" else value)
        return f"(NOT {condition})", values
    if op in _SIGNS:
        return f"(ifnull({kind}, '') IN {_NUMERIC} AND {held} {_SIGNS[op]} ?)", [value]
    if op == "starts_with":
        return f"({kind} IS 'text' AND substr({held}, 1, length(?)) = ?)", [value, value]
    if op == "ends_with":
        return (
            f"({kind} IS 'text' AND length({held}) >= length(?)"
            f" AND substr({held}, length({held}) - length(?) + 1) = ?)",
            [value, value, value],
        )
    return (
        f"(CASE {kind} WHEN 'text' THEN instr({held}, ?) > 0 WHEN 'array' THEN"  # noqa: S608 - fields are checked
        f" EXISTS (SELECT 1 FROM json_each(metadata, {_path(field)}) AS item WHERE item.value = ?) ELSE 0 END)",
        [value, value],
    )


def _among(field: str, values: list[Any]) -> tuple[str, list[Any]]:
    """The field equals one of the values, kind by kind; long lists travel as one JSON parameter.

    The kind is looked at last: of most records the value tells enough.
    """
    kind, held = _type(field), _value(field)
    texts = [value for value in values if isinstance(value, str)]
    truths = [value for value in values if isinstance(value, bool)]
    numbers = [value for value in values if not isinstance(value, str | bool)]
    parts: list[str] = []
    bound: list[Any] = []
    for checked, some in ((f"{kind} IS 'text'", texts), (f"ifnull({kind}, '') IN {_NUMERIC}", numbers)):
        if len(some) == 1:
            parts.append(f"({held} = ? AND {checked})")
            bound.append(some[0])
        elif some:
            parts.append(f"({held} IN (SELECT value FROM json_each(?)) AND {checked})")  # noqa: S608
            bound.append(json.dumps(some, ensure_ascii=False))
    parts += [f"({kind} IS '{str(value).lower()}')" for value in dict.fromkeys(truths)]
    return (f"({' OR '.join(parts)})" if parts else "0"), bound


def _path(field: str) -> str:
    return f"'$.\"{field}\"'"


def _type(field: str) -> str:
    return f"json_type(metadata, {_path(field)})"


def _value(field: str) -> str:
    return f"json_extract(metadata, {_path(field)})"
