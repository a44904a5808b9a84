"""The variables of a loop: what each begins with."""

from __future__ import annotations

from typing import Any

import msgspec
from dify_kernel.contracts.node import NodeContext
from dify_kernel.errors import NodeFailed
from dify_kernel.graph.values import Value, ValueType, cast

__all__ = ["LoopVariable", "first_value", "variable_problems"]

_TYPES = frozenset(
    ["string", "number", "object", "boolean", "array[string]", "array[number]", "array[object]", "array[boolean]"]
)


class LoopVariable(msgspec.Struct, frozen=True, kw_only=True):
    """One variable: a constant of its type, or a selector of the value that it begins with."""

    label: str
    var_type: str = "string"
    value_type: str = "constant"
    value: Any = None

    @property
    def selector(self) -> list[str]:
        """The variable that it begins with; empty for a constant."""
        if self.value_type != "variable" or not isinstance(self.value, list):
            return []
        return [str(part) for part in self.value]


def variable_problems(variables: list[LoopVariable]) -> list[str]:
    """Labels that are missing or used twice, types that there are not, selectors that choose nothing."""
    labels = [item.label for item in variables]
    found = [
        f"The loop variable {label!r} is there twice." for label in dict.fromkeys(labels) if labels.count(label) > 1
    ]
    for item in variables:
        if not item.label:
            found.append("A loop variable has no `label`.")
        if item.var_type not in _TYPES:
            found.append(f"The loop variable {item.label!r} has the unknown type {item.var_type!r}.")
        if item.value_type == "variable" and len(item.selector) < 2:
            found.append(f"The loop variable {item.label!r} begins with no variable that could be chosen.")
    return found


def first_value(item: LoopVariable, ctx: NodeContext) -> Value:
    """What a variable begins with, under its type; NodeFailed when that cannot be."""
    if item.value_type == "variable":
        return _typed(item, ctx.require(item.selector).data)
    data = item.value
    if isinstance(data, str) and item.var_type != "string":
        data = _parsed(item, data)
    return _typed(item, data)


def _parsed(item: LoopVariable, text: str) -> Any:
    if not text.strip():
        return None
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as exc:
        raise _unfit(item, text) from exc


def _typed(item: LoopVariable, data: Any) -> Value:
    if data == [] and item.var_type.startswith("array"):
        return Value(ValueType.ARRAY_ANY, [])  # takes any item, as in Dify
    try:
        return cast(data, ValueType(item.var_type))
    except ValueError as exc:
        raise _unfit(item, data) from exc


def _unfit(item: LoopVariable, data: Any) -> NodeFailed:
    shown = str(data)[:100]
    return NodeFailed(f"Loop variable {item.label} cannot be {item.var_type}: {shown}", error_type="LoopNodeError")
