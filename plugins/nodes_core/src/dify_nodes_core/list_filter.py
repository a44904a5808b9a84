"""Conditions on the items of a list: texts, numbers, booleans, and files by their attributes. Pure."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from dify_kernel.errors import NodeFailed
from dify_kernel.graph.values import File, ValueType

__all__ = ["FILE_KEYS", "FILTER_OPERATORS", "FilterCondition", "ListOperatorError", "attribute", "keep"]


class ListOperatorError(NodeFailed):
    """The list cannot be treated as asked; the node's record keeps the list."""

    def __init__(self, message: str, error_type: str) -> None:
        super().__init__(message, error_type=error_type)


class FilterCondition(msgspec.Struct, frozen=True, kw_only=True):
    """One test of every item. `key` names the attribute of files; texts may hold references."""

    key: str | None = ""
    comparison_operator: str = "contains"
    value: str | bool | int | float | list[str] | None = ""


Test = Callable[[Any], bool]

_TEXT: Final[dict[str, Callable[[str, str], bool]]] = {
    "contains": lambda item, value: value in item,
    "not contains": lambda item, value: value not in item,
    "start with": str.startswith,
    "end with": str.endswith,
    "is": operator.eq,
    "is not": operator.ne,
    "in": lambda item, value: item in value,
    "not in": lambda item, value: item not in value,
    "empty": lambda item, _: not item,
    "not empty": lambda item, _: bool(item),
}
_NUMBER: Final[dict[str, Callable[[float, float], bool]]] = {
    "=": operator.eq,
    "≠": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "≤": operator.le,
    "≥": operator.ge,
}
_BOOLEAN: Final[dict[str, Callable[[bool, bool], bool]]] = {"is": operator.is_, "is not": operator.is_not}
_MEMBER: Final[dict[str, Callable[[str, Any], bool]]] = {
    "in": lambda item, value: item in value,
    "not in": lambda item, value: item not in value,
}

#: Every operator that a condition may have.
FILTER_OPERATORS: Final = (*_TEXT, *_NUMBER)

_TEXT_KEYS: Final = ("name", "extension", "mime_type", "url", "related_id")
_MEMBER_KEYS: Final = ("type", "transfer_method")
#: The attributes of files that conditions and orders may name.
FILE_KEYS: Final = (*_TEXT_KEYS, *_MEMBER_KEYS, "size")


def keep(kind: ValueType, items: list[Any], condition: FilterCondition, render: Callable[[str], str]) -> list[Any]:
    """The items of a list of that type for which the condition holds.

    ListOperatorError or NodeFailed when the condition does not suit the type.
    """
    test = _TESTS[kind](condition, render)
    return [item for item in items if test(item)]


def attribute(file: File, key: str) -> Any:
    """An attribute of a file to test or sort by: a number for `size`, else a text."""
    if key == "size":
        return file.size
    value = (file.remote_url or file.url) if key == "url" else file.attribute(key)
    return str(value) if value else ""


def _text_test(condition: FilterCondition, render: Callable[[str], str]) -> Test:
    value = _rendered(condition.value, render)
    test = _known(_TEXT, condition)
    return lambda item: test(item, value)


def _number_test(condition: FilterCondition, render: Callable[[str], str]) -> Test:
    test, value = _known(_NUMBER, condition), _number(_rendered(condition.value, render))
    return lambda item: test(item, value)


def _boolean_test(condition: FilterCondition, _: Callable[[str], str]) -> Test:
    value = condition.value
    if not isinstance(value, bool):
        raise NodeFailed(f"Boolean filter expects a boolean value, got {type(value)}", error_type="ValueError")
    test = _known(_BOOLEAN, condition)
    return lambda item: test(item, value)


def _file_test(condition: FilterCondition, render: Callable[[str], str]) -> Test:
    value, key = condition.value, condition.key or ""
    if isinstance(value, bool):
        raise NodeFailed(f"File filter expects a string value, got {type(value)}", error_type="ValueError")
    if key in _MEMBER_KEYS:
        wanted = value if isinstance(value, list) else _rendered(value, render)
        among = _known(_MEMBER, condition)
        return lambda file: among(attribute(file, key), wanted)
    if isinstance(value, list) or key not in FILE_KEYS:
        raise ListOperatorError(f"Invalid key: {key}", "InvalidKeyError")
    test = (_number_test if key == "size" else _text_test)(condition, render)
    return lambda file: test(attribute(file, key))


_TESTS: Final = {
    ValueType.ARRAY_STRING: _text_test,
    ValueType.ARRAY_NUMBER: _number_test,
    ValueType.ARRAY_BOOLEAN: _boolean_test,
    ValueType.ARRAY_FILE: _file_test,
}


def _known(tests: Mapping[str, Callable[[Any, Any], bool]], condition: FilterCondition) -> Callable[[Any, Any], bool]:
    if condition.comparison_operator not in tests:
        raise ListOperatorError(f"Invalid condition: {condition.comparison_operator}", "InvalidConditionError")
    return tests[condition.comparison_operator]


def _rendered(value: Any, render: Callable[[str], str]) -> str:
    """The text of a condition's value; a number without quotes counts as its text, null as an empty one."""
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return "" if value is None else str(value)
    if not isinstance(value, str):
        raise ListOperatorError(f"Invalid filter value: {value}", "InvalidFilterValueError")
    return render(value)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as exc:
        raise NodeFailed(str(exc), error_type="ValueError") from exc
