"""Parameters to be found in a text: their JSON schema, and how an answer becomes their values. Pure.

What is missing or of the wrong type never fails: the parameter gets an empty value, and the reason is told.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Sequence
from typing import Any

import msgspec
from dify_kernel import loose_json
from dify_kernel.graph.values import Value, ValueType, infer

__all__ = ["NOTHING_FOUND", "RESERVED", "Extracted", "Parameter", "extract", "find_json", "json_schema", "problems"]

NOTHING_FOUND = "Failed to extract result from function call or text response, using empty result."

#: Outputs of the node itself.
RESERVED = frozenset(("__is_success", "__reason", "__usage"))

#: Types of older exports, and what they are called since.
_OLD_TYPES = {"bool": "boolean", "select": "string"}
_ITEMS = {
    ValueType.ARRAY_STRING: ValueType.STRING,
    ValueType.ARRAY_NUMBER: ValueType.NUMBER,
    ValueType.ARRAY_OBJECT: ValueType.OBJECT,
    ValueType.ARRAY_BOOLEAN: ValueType.BOOLEAN,
}
_KNOWN = {"string", "number", "boolean", *_OLD_TYPES, *(kind.value for kind in _ITEMS)}
_PYTHON: dict[ValueType, type | tuple[type, ...]] = {
    ValueType.STRING: str,
    ValueType.NUMBER: (int, float),
    ValueType.BOOLEAN: bool,
    ValueType.OBJECT: dict,
}
_EMPTY: dict[ValueType, Any] = {ValueType.STRING: "", ValueType.NUMBER: 0, ValueType.BOOLEAN: False}

_OPENING = re.compile(r"[{\[]")
#: Places in an answer where JSON is looked for at most.
MOST_OPENINGS = 200


class Parameter(msgspec.Struct, frozen=True):
    """One parameter as the canvas writes it."""

    name: str
    type: str = "string"
    options: list[str] | None = None
    description: str = ""
    required: bool = False

    @property
    def kind(self) -> ValueType:
        """The type of its values."""
        return ValueType(_OLD_TYPES.get(self.type, self.type))

    def record(self) -> dict[str, Any]:
        """The parameter as a run records it, its type by its present name."""
        return {**msgspec.to_builtins(self), "type": self.kind.value}


class Extracted(msgspec.Struct, frozen=True):
    """A value for every parameter, and why they are not all what was asked for; None when they are."""

    values: dict[str, Any]
    reason: str | None


def problems(parameters: Sequence[Parameter]) -> list[str]:
    """Names that are missing, taken or used twice, and types that do not exist."""
    found = [
        f"The parameter {item.name!r} has the unknown type {item.type!r}."
        for item in parameters
        if item.type not in _KNOWN
    ]
    names = [item.name for item in parameters]
    if not all(names):
        found.append("A parameter has no name.")
    found += [f"The parameter name {name!r} is reserved." for name in names if name in RESERVED]
    twice = sorted({name for name in names if names.count(name) > 1})
    return found + [f"The parameter name {name!r} is used twice." for name in twice]


def json_schema(parameters: Sequence[Parameter]) -> dict[str, Any]:
    """The JSON schema of an object with these parameters."""
    properties: dict[str, Any] = {}
    for item in parameters:
        shape: dict[str, Any] = {"description": item.description}
        if item.kind in _ITEMS:
            shape |= {"type": "array", "items": {"type": _ITEMS[item.kind].value}}
        else:
            shape["type"] = item.kind.value
        properties[item.name] = {**shape, "enum": item.options} if item.options else shape
    required = [item.name for item in parameters if item.required]
    return {"type": "object", "properties": properties, "required": required}


# -- reading -----------------------------------------------------------------------------------------------------


def find_json(text: str) -> Any:
    """The first object or list in a text; None when there is none. One that is cut off counts for nothing.

    What is not quite JSON is repaired, when it is an object.
    """
    decoder = json.JSONDecoder(strict=False, parse_constant=lambda _: None)
    ends = _closings(text)
    for opening in itertools.islice(_OPENING.finditer(text), MOST_OPENINGS):
        start = opening.start()
        try:
            return decoder.raw_decode(text, start)[0]
        except (ValueError, RecursionError):
            found = _repaired(text[start : ends[start]]) if text[start] == "{" and start in ends else None
            if found:
                return found
    return None


def _repaired(text: str) -> Any:
    try:
        return loose_json.loads(text, objects=True)
    except ValueError:
        return None


def _closings(text: str) -> dict[int, int]:
    """Where each bracket that is closed in order ends."""
    ends: dict[int, int] = {}
    stack: list[int] = []
    for found in re.finditer(r"[{}\[\]]", text):
        if found.group() in "{[":
            stack.append(found.start())
        elif stack:
            start = stack.pop()
            if text[start] + found.group() in ("{}", "[]"):
                ends[start] = found.end()
    return ends


def extract(parameters: Sequence[Parameter], found: Any) -> Extracted:
    """The values of the parameters in what was found; None when nothing was."""
    if found is None:
        # A list has no empty value that could stand for an answer, so lists are missed here.
        given: Any = {item.name: _EMPTY[item.kind] for item in parameters if item.kind in _EMPTY}
    else:
        given = found
    reason = _wrong(parameters, given) or (NOTHING_FOUND if found is None else None)
    fields = given if isinstance(given, dict) else {}
    return Extracted({item.name: _fitted(item, fields.get(item.name)) for item in parameters}, reason)


def _wrong(parameters: Sequence[Parameter], found: dict[str, Any] | list[Any]) -> str | None:
    """The first thing that is wrong with an answer."""
    if len(found) != len(parameters):
        return "Invalid number of parameters"
    fields = found if isinstance(found, dict) else {}
    for item in parameters:
        if item.required and item.name not in fields:
            return f"Parameter {item.name} is required"
        value = fields.get(item.name)
        if not _fits(item.kind, value):
            return (
                f"Invalid value for parameter {item.name}, expected segment type: {item.kind}, "
                f"actual_type: {infer(value).type}, python_type: {type(value)}, value: {value}"
            )
        if item.kind is ValueType.STRING and item.options and value not in item.options:
            return f"Invalid `select` value for parameter {item.name}"
    return None


def _fits(kind: ValueType, value: Any) -> bool:
    if kind in _ITEMS:
        return isinstance(value, list) and all(_fits(_ITEMS[kind], item) for item in value)
    return isinstance(value, _PYTHON[kind]) and _as(kind, value) is not None


def _fitted(parameter: Parameter, value: Any) -> Any:
    """The value in the type of its parameter; what cannot be is empty, or left out of a list."""
    kind = parameter.kind
    if kind in _ITEMS:
        items = [_as(_ITEMS[kind], item) for item in (value if isinstance(value, list) else [])]
        return Value(kind, [item for item in items if item is not None])
    if kind is ValueType.BOOLEAN and isinstance(value, int):
        return bool(value)
    fitted = _as(kind, value)
    return _EMPTY[kind] if fitted is None else fitted


def _as(kind: ValueType, value: Any) -> Any:
    if kind is ValueType.NUMBER:
        return _number(value)
    return value if isinstance(value, _PYTHON[kind]) else None


def _number(value: Any) -> int | float | None:
    try:
        if isinstance(value, str):
            value = float(value) if "." in value else int(value)
        if isinstance(value, bool):
            return int(value)
        return value if isinstance(value, int | float) and math.isfinite(value) else None
    except (ValueError, OverflowError):
        return None
