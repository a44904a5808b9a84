"""Checks JSON data against the part of JSON Schema that input forms use; a keyword it does not know is a problem.

`pattern` is not among them: a regular expression from one app could stall the runs of all others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

__all__ = ["schema_problems", "violation"]


def _is_number(data: Any) -> bool:
    return isinstance(data, int | float) and not isinstance(data, bool)


_TYPES: Final[Mapping[str, Callable[[Any], bool]]] = {
    "object": lambda data: isinstance(data, dict),
    "array": lambda data: isinstance(data, list),
    "string": lambda data: isinstance(data, str),
    "boolean": lambda data: isinstance(data, bool),
    "null": lambda data: data is None,
    "number": _is_number,
    "integer": lambda data: _is_number(data) and float(data).is_integer(),
}
_NOTES: Final = frozenset(("$schema", "$id", "$comment", "title", "description", "default", "examples", "format"))
_NUMBERS: Final[Mapping[str, tuple[Callable[[Any, Any], bool], str]]] = {
    "minimum": (lambda data, limit: data >= limit, "is less than the minimum of"),
    "maximum": (lambda data, limit: data <= limit, "is greater than the maximum of"),
    "exclusiveMinimum": (lambda data, limit: data > limit, "is less than or equal to the minimum of"),
    "exclusiveMaximum": (lambda data, limit: data < limit, "is greater than or equal to the maximum of"),
    "multipleOf": (lambda data, limit: (data / limit).is_integer() if limit else False, "is not a multiple of"),
}
_SIZES: Final = {
    "minLength": (str, 1, "is too short"),
    "maxLength": (str, -1, "is too long"),
    "minItems": (list, 1, "is too short"),
    "maxItems": (list, -1, "is too long"),
    "minProperties": (dict, 1, "does not have enough properties"),
    "maxProperties": (dict, -1, "has too many properties"),
}
_COMBINERS: Final = ("allOf", "anyOf", "oneOf")
_KNOWN: Final = frozenset(
    (
        *_NOTES,
        *_NUMBERS,
        *_SIZES,
        *_COMBINERS,
        "type",
        "enum",
        "const",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "uniqueItems",
        "not",
    )
)


def schema_problems(schema: Any, where: str = "$") -> list[str]:
    """What keeps a schema from being used, one sentence each."""
    if isinstance(schema, bool):
        return []
    if not isinstance(schema, Mapping):
        return [f"{where} must be an object or a boolean."]
    found = [f"`{key}` at {where} is not supported." for key in schema if key not in _KNOWN]
    kinds = schema.get("type", [])
    for kind in kinds if isinstance(kinds, list) else [kinds]:
        if not isinstance(kind, str) or kind not in _TYPES:
            found.append(f"{kind!r} at {where} is not a type.")
    for key in (*_NUMBERS, *_SIZES):
        if key in schema and not _is_number(schema[key]):
            found.append(f"`{key}` at {where} must be a number.")
    for key in ("required", "enum", *_COMBINERS):
        if not isinstance(schema.get(key, []), list):
            found.append(f"`{key}` at {where} must be a list.")
    if not isinstance(schema.get("properties", {}), Mapping):
        found.append(f"`properties` at {where} must be an object.")
    return found or _inner_problems(schema, where)


def _inner_problems(schema: Mapping[str, Any], where: str) -> list[str]:
    found = []
    for name, part in schema.get("properties", {}).items():
        found += schema_problems(part, f"{where}.{name}")
    for key in _COMBINERS:
        for part in schema.get(key, []):
            found += schema_problems(part, f"{where}.{key}")
    for key in ("items", "additionalProperties", "not"):
        found += schema_problems(schema.get(key, True), f"{where}.{key}")
    return found


def violation(data: Any, schema: Any) -> str | None:
    """The first thing in the data that the schema forbids, None when it fits."""
    if isinstance(schema, bool):
        return None if schema else f"{data!r} is not allowed"
    for check in (_type, _value, _number, _size, _object, _array, _combined):
        found = check(data, schema)
        if found:
            return found
    return None


def _type(data: Any, schema: Mapping[str, Any]) -> str | None:
    kinds = schema.get("type")
    if kinds is None or any(_TYPES[kind](data) for kind in (kinds if isinstance(kinds, list) else [kinds])):
        return None
    wanted = ", ".join(repr(kind) for kind in kinds) if isinstance(kinds, list) else repr(kinds)
    return f"{data!r} is not of type {wanted}"


def _value(data: Any, schema: Mapping[str, Any]) -> str | None:
    if "enum" in schema and not any(_same(data, item) for item in schema["enum"]):
        return f"{data!r} is not one of {schema['enum']!r}"
    if "const" in schema and not _same(data, schema["const"]):
        return f"{schema['const']!r} was expected"
    return None


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _number(data: Any, schema: Mapping[str, Any]) -> str | None:
    if _is_number(data):
        for key, (fits, text) in _NUMBERS.items():
            if key in schema and not fits(data, schema[key]):
                return f"{data!r} {text} {schema[key]!r}"
    return None


def _size(data: Any, schema: Mapping[str, Any]) -> str | None:
    for key, (kind, sign, text) in _SIZES.items():
        if key in schema and isinstance(data, kind) and (len(data) - schema[key]) * sign < 0:
            return f"{data!r} {text}"
    return None


def _object(data: Any, schema: Mapping[str, Any]) -> str | None:
    if not isinstance(data, dict):
        return None
    for name in schema.get("required", []):
        if name not in data:
            return f"{name!r} is a required property"
    properties, extra = schema.get("properties", {}), schema.get("additionalProperties", True)
    for name, item in data.items():
        if name not in properties and extra is False:
            return f"Additional properties are not allowed ({name!r} was unexpected)"
        found = violation(item, properties.get(name, extra))
        if found:
            return found
    return None


def _array(data: Any, schema: Mapping[str, Any]) -> str | None:
    if not isinstance(data, list):
        return None
    for item in data:
        found = violation(item, schema.get("items", True))
        if found:
            return found
    if schema.get("uniqueItems") and len({msgspec.json.encode(item, order="sorted") for item in data}) < len(data):
        return f"{data!r} has non-unique elements"
    return None


def _combined(data: Any, schema: Mapping[str, Any]) -> str | None:
    for part in schema.get("allOf", []):
        found = violation(data, part)
        if found:
            return found
    if "anyOf" in schema and all(violation(data, part) for part in schema["anyOf"]):
        return f"{data!r} is not valid under any of the given schemas"
    if "oneOf" in schema and sum(violation(data, part) is None for part in schema["oneOf"]) != 1:
        return f"{data!r} is not valid under exactly one of the given schemas"
    if "not" in schema and violation(data, schema["not"]) is None:
        return f"{data!r} should not be valid under {schema['not']!r}"
    return None
