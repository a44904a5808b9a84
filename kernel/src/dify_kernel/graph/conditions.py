"""Conditions on values: the operators of if-else, loop breaks and list filters. Pure: no pool, no node.

`compare` decides one operator; `evaluate` resolves selectors and templates through a function and decides a group.
Where Dify raises, a ConditionError is raised with its words.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from dify_kernel.errors import NodeFailed
from dify_kernel.graph.pool import Selector, Template
from dify_kernel.graph.values import MISSING, File, Value, ValueType

__all__ = [
    "FILE_KEYS",
    "OPERATORS",
    "Condition",
    "ConditionError",
    "SubCondition",
    "SubConditions",
    "Verdict",
    "compare",
    "condition_problems",
    "condition_selectors",
    "evaluate",
]

#: Keys of files that sub conditions may test.
FILE_KEYS: Final = ("type", "size", "name", "mime_type", "transfer_method", "url", "extension", "related_id")


class ConditionError(NodeFailed):
    """A condition cannot be decided: a missing variable, or values that the operator does not take."""

    def __init__(self, message: str, error_type: str = "ValueError") -> None:
        super().__init__(message, error_type=error_type)


class SubCondition(msgspec.Struct, frozen=True, kw_only=True):
    """A test of one attribute of each file of a list."""

    key: str
    comparison_operator: str
    value: str | int | float | bool | list[Any] | None = None


class SubConditions(msgspec.Struct, frozen=True, kw_only=True):
    """Tests of files, joined."""

    logical_operator: str = "and"
    conditions: list[SubCondition] | None = None


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """One test: a variable, an operator and the expected value; texts may hold references."""

    variable_selector: list[str]
    comparison_operator: str
    value: str | int | float | bool | list[Any] | None = None
    sub_variable_condition: SubConditions | None = None


class Verdict(NamedTuple):
    """What a group came to: the compared values, each condition's verdict as far as needed, and the group's."""

    compared: list[dict[str, Any]]
    results: list[bool]
    final: bool


# -- operators -------------------------------------------------------------------------------------------------


def _contains(actual: Any, expected: Any) -> bool:
    if not actual:
        return False
    if isinstance(actual, str):
        if not isinstance(expected, str):
            raise ConditionError("Expected value must be a string when the actual value is a string")
        return expected in actual
    if isinstance(actual, list):
        return any(_same(expected, item) for item in actual)
    raise ConditionError("Invalid actual value type: string or array")


def _starts(actual: Any, expected: Any) -> bool:
    return bool(actual) and _text(actual).startswith(_expected_text(expected))


def _ends(actual: Any, expected: Any) -> bool:
    return bool(actual) and _text(actual).endswith(_expected_text(expected))


def _text(actual: Any) -> str:
    if not isinstance(actual, str):
        raise ConditionError("Invalid actual value type: string")
    return actual


def _expected_text(expected: Any) -> str:
    if not isinstance(expected, str):
        raise ConditionError("Invalid expected value type: string")
    return expected


def _is(actual: Any, expected: Any) -> bool:
    return actual is not None and _same(_plain(actual), expected)


def _is_not(actual: Any, expected: Any) -> bool:
    return actual is not None and not _same(_plain(actual), expected)


def _plain(actual: Any) -> str | bool:
    if not isinstance(actual, str | bool):
        raise ConditionError("Invalid actual value type: string or boolean")
    return actual


def _same(one: Any, other: Any) -> bool:
    """Equal, and not a boolean beside a number."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _in(actual: Any, expected: Any) -> bool:
    return bool(actual) and any(_same(actual, item) for item in _list(expected))


def _not_in(actual: Any, expected: Any) -> bool:
    return not actual or all(not _same(actual, item) for item in _list(expected))


def _list(expected: Any) -> list[Any]:
    if not isinstance(expected, list):
        raise ConditionError("Invalid expected value type: array")
    return expected


def _all_of(actual: Any, expected: Any) -> bool:
    if not actual or not isinstance(actual, str | list):
        return False
    wanted = _list(expected)
    if isinstance(actual, str):
        return all(isinstance(item, str) and item in actual for item in wanted)
    return all(any(_same(item, one) for one in actual) for item in wanted)


def _equal(actual: Any, expected: Any) -> bool:
    return actual is not None and _numbers(actual, expected, "number or boolean", _float_equal)


def _unequal(actual: Any, expected: Any) -> bool:
    return actual is not None and not _numbers(actual, expected, "number or boolean", _float_equal)


def _float_equal(one: float, other: float) -> bool:
    return one == other


def _ordered(test: Callable[[float, float], bool]) -> Callable[[Any, Any], bool]:
    return lambda actual, expected: actual is not None and _numbers(actual, expected, "number", test)


def _numbers(actual: Any, expected: Any, kind: str, test: Callable[[float, float], bool]) -> bool:
    if not isinstance(actual, int | float):
        raise ConditionError(f"Invalid actual value type: {kind}")
    return test(actual, _number(expected))


def _number(expected: Any) -> int | float:
    """The number that an expected value stands for; whole texts stay exact."""
    if isinstance(expected, int | float):
        return expected
    try:
        if isinstance(expected, str):
            text = expected.strip()
            return int(text) if text.lstrip("+-").isdecimal() else float(text)
    except ValueError:
        pass
    raise ConditionError(f"Cannot convert {expected!r} to number")


#: Every operator of the DSL.
OPERATORS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "contains": _contains,
    "not contains": lambda actual, expected: not _contains(actual, expected),
    "start with": _starts,
    "end with": _ends,
    "is": _is,
    "is not": _is_not,
    "empty": lambda actual, _: not actual,
    "not empty": lambda actual, _: bool(actual),
    "in": _in,
    "not in": _not_in,
    "all of": _all_of,
    "=": _equal,
    "≠": _unequal,
    ">": _ordered(lambda one, other: one > other),
    "<": _ordered(lambda one, other: one < other),
    "≥": _ordered(lambda one, other: one >= other),
    "≤": _ordered(lambda one, other: one <= other),
    "null": lambda actual, _: actual is None,
    "not null": lambda actual, _: actual is not None,
    "exists": lambda actual, _: actual is not None,
    "not exists": lambda actual, _: actual is None,
}
_OF_FILES: Final = ("contains", "not contains", "all of")
_PRESENCE: Final = ("exists", "not exists")


def compare(operator: str, actual: Any, expected: Any = None) -> bool:
    """The verdict of one operator on plain data; ConditionError when it does not take such values."""
    test = OPERATORS.get(operator)
    if test is None:
        raise ConditionError(f"Unsupported operator: {operator}")
    return test(actual, expected)


# -- groups ----------------------------------------------------------------------------------------------------


def evaluate(
    conditions: Sequence[Condition],
    logical_operator: str,
    get: Callable[[Selector], Value | None],
    render: Callable[[str], str],
) -> Verdict:
    """The verdict of conditions joined by `and` or `or`, decided in order and no further than needed.

    No conditions are true under `and`, false under `or`.
    """
    either = logical_operator == "or"
    compared: list[dict[str, Any]] = []
    results: list[bool] = []
    for condition in conditions:
        result = _decide(condition, get, render, compared)
        results.append(result)
        if result is either:
            return Verdict(compared, results, result)
    return Verdict(compared, results, not either)


def _decide(
    condition: Condition,
    get: Callable[[Selector], Value | None],
    render: Callable[[str], str],
    compared: list[dict[str, Any]],
) -> bool:
    operator = condition.comparison_operator
    variable = get(tuple(condition.variable_selector))
    if variable is None:
        raise ConditionError(f"Variable {condition.variable_selector} not found")
    if variable.type is ValueType.ARRAY_FILE and operator in _OF_FILES:
        return _files(variable.data, condition.sub_variable_condition)
    if operator in _PRESENCE:
        return compare(operator, variable.data)
    expected: Any = condition.value
    if isinstance(expected, str):
        expected = render(expected)
    if variable.type in (ValueType.BOOLEAN, ValueType.ARRAY_BOOLEAN):
        expected = [_boolean(item) for item in expected] if isinstance(expected, list) else _boolean(expected)
    compared.append({"actual_value": variable.data, "expected_value": expected, "comparison_operator": operator})
    return compare(operator, variable.data, expected)


def _boolean(expected: Any) -> Any:
    """A boolean from JSON text or a number, as the builder stores it; null stays."""
    if isinstance(expected, str):
        try:
            expected = json.loads(expected)
        except ValueError as exc:
            raise ConditionError(str(exc), error_type="JSONDecodeError") from None
    if expected is None or isinstance(expected, bool):
        return expected
    if isinstance(expected, int | float):
        return bool(expected)
    raise ConditionError(f"unexpected value: type={type(expected).__name__}, value={expected}")


def _files(files: list[File], tests: SubConditions | None) -> bool:
    if tests is None:
        raise ConditionError("Sub variable is required")
    verdicts = [_file_test(files, test) for test in tests.conditions or []]
    return any(verdicts) if tests.logical_operator == "or" else all(verdicts)


def _file_test(files: list[File], test: SubCondition) -> bool:
    operator, expected = test.comparison_operator, test.value
    if test.key == "extension" and isinstance(expected, str) and expected:
        expected = _dotted(expected)
    verdicts = [compare(operator, _attribute(file, test.key), expected) for file in files]
    return all(verdicts) if "not" in operator else any(verdicts)


def _attribute(file: File, key: str) -> Any:
    value = file.attribute(key)
    if value is MISSING:
        raise ConditionError(f"{key!r} is not an attribute of files")
    if key == "extension" and value:
        return _dotted(value)
    return str(value) if isinstance(value, str) else value


def _dotted(extension: str) -> str:
    return extension if extension.startswith(".") else f".{extension}"


# -- configuration ---------------------------------------------------------------------------------------------


def condition_problems(conditions: Sequence[Condition], logical_operator: str) -> list[str]:
    """What is wrong with a group of conditions, one sentence each."""
    found = _operator_problems(logical_operator)
    for condition in conditions:
        if len(condition.variable_selector) < 2:
            found.append("A condition has no variable.")
        if condition.comparison_operator not in OPERATORS:
            found.append(_unknown(condition.comparison_operator))
        if condition.sub_variable_condition is not None:
            found += _operator_problems(condition.sub_variable_condition.logical_operator)
            for test in condition.sub_variable_condition.conditions or []:
                if test.key not in FILE_KEYS:
                    found.append(f"{test.key!r} is not an attribute of files; there are {', '.join(FILE_KEYS)}.")
                if test.comparison_operator not in OPERATORS:
                    found.append(_unknown(test.comparison_operator))
    return found


def _operator_problems(logical_operator: str) -> list[str]:
    return [] if logical_operator in ("and", "or") else [f"{logical_operator!r} is neither `and` nor `or`."]


def _unknown(operator: str) -> str:
    return f"Unknown comparison operator {operator!r}; there are {', '.join(OPERATORS)}."


def condition_selectors(conditions: Sequence[Condition]) -> list[Selector]:
    """The variables that conditions read, those in the templates of expected values included."""
    found: list[Selector] = []
    for condition in conditions:
        found.append(tuple(condition.variable_selector))
        if isinstance(condition.value, str):
            found += Template(condition.value).selectors
    return found
