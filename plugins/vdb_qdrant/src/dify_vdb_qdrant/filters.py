"""Translates the neutral filter into Qdrant's, as the plain data of its REST language.

Qdrant looks into lists and does not tell kinds apart, so every record carries `kinds`: its field names, and each with
the kind of its value ("page", "page:number"; a boolean's kind is "true" or "false"). Text inside text, and integers
that a double cannot hold, are not in its language in every version: `expressible` says so, and the store evaluates
these itself.
"""

from __future__ import annotations

from typing import Any

from dify_kernel.contracts.vector import And, Compare, Exists, Filter, Metadata, Not, Or

__all__ = ["NEVER", "Condition", "expressible", "kinds", "narrowing", "to_condition"]

Condition = dict[str, Any]

NEVER: Condition = {"has_id": []}
_RANGES = {"lt": "lt", "le": "lte", "gt": "gt", "ge": "gte"}
_EXACT = 2**53


def kinds(metadata: Metadata) -> list[str]:
    """What the payload says about the fields of a record."""
    return [name for field, value in metadata.items() for name in (field, f"{field}:{_kind(value)}")]


def expressible(filter: Filter) -> bool:
    """Whether `to_condition` can say the whole filter."""
    match filter:
        case And(items) | Or(items):
            return all(expressible(item) for item in items)
        case Not(item):
            return expressible(item)
        case Compare(op, _, value):
            values = value if isinstance(value, list) else [value]
            held = all(abs(item) < _EXACT for item in values if _kind(item) == "number")
            return held and op not in ("contains", "starts_with", "ends_with")
        case Exists():
            return True


def narrowing(filter: Filter) -> list[Filter]:
    """The parts of a filter that can be said and that every match satisfies."""
    parts = filter.items if isinstance(filter, And) else [filter]
    return [part for part in parts if expressible(part)]


def to_condition(filter: Filter) -> Condition:
    """The condition that an expressible filter is."""
    match filter:
        case And(items):
            return {"must": [to_condition(item) for item in items]} if items else {"must_not": [NEVER]}
        case Or(items):
            return {"should": [to_condition(item) for item in items]} if items else NEVER
        case Not(item):
            return {"must_not": [to_condition(item)]}
        case Exists(field):
            return _is("kinds", field)
        case Compare(op, field, value):
            return _compare(op, field, value)


def _compare(op: str, field: str, value: Any) -> Condition:
    if op in ("eq", "in"):
        return _among(field, [value] if op == "eq" else value)
    if op in ("ne", "not_in"):
        return {"must_not": [_among(field, [value] if op == "ne" else value)]}
    return {"must": [_is("kinds", f"{field}:number"), {"key": f"metadata.{field}", "range": {_RANGES[op]: value}}]}


def _among(field: str, values: list[Any]) -> Condition:
    """The field equals one of the values, kind by kind."""
    key = f"metadata.{field}"
    choices: dict[str, list[Condition]] = {}
    texts = [value for value in values if isinstance(value, str)]
    if texts:
        choices["text"] = [{"key": key, "match": {"any": texts} if len(texts) > 1 else {"value": texts[0]}}]
    for value in values:
        if _kind(value) == "number":
            choices.setdefault("number", []).append({"key": key, "range": {"gte": value, "lte": value}})
    parts = [_is("kinds", f"{field}:{_kind(value)}") for value in dict.fromkeys(values) if isinstance(value, bool)]
    parts += [
        {"must": [_is("kinds", f"{field}:{kind}"), some[0] if len(some) == 1 else {"should": some}]}
        for kind, some in choices.items()
    ]
    if not parts:
        return NEVER
    return parts[0] if len(parts) == 1 else {"should": parts}


def _is(key: str, value: str) -> Condition:
    return {"key": key, "match": {"value": value}}


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else "list"
