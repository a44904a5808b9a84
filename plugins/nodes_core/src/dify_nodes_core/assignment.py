"""What the assigner may do to a variable: operations by type, and the value that each gives. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from dify_kernel.errors import NodeFailed
from dify_kernel.graph.values import File, Value, ValueType

__all__ = [
    "ARITHMETIC",
    "NULLARY",
    "OPERATIONS",
    "AssignerError",
    "apply",
    "check_input_type",
    "constant_fits",
    "fits",
    "invalid",
    "operation_fits",
    "parse_object",
    "updated_record",
    "zero",
]

ARITHMETIC: Final = ("+=", "-=", "*=", "/=")
_ARRAYS: Final = ("append", "extend", "remove-first", "remove-last")
#: Operations that take no value.
NULLARY: Final = ("clear", "remove-first", "remove-last")
OPERATIONS: Final = ("over-write", "clear", "append", "extend", "set", *ARITHMETIC, "remove-first", "remove-last")

_NUMBERS: Final = (ValueType.NUMBER, ValueType.INTEGER, ValueType.FLOAT)
_SETTABLE: Final = (ValueType.OBJECT, ValueType.STRING, ValueType.BOOLEAN, *_NUMBERS)


class AssignerError(NodeFailed):
    """An assignment that cannot be made."""

    def __init__(self, message: str, error_type: str) -> None:
        super().__init__(message, error_type=error_type)


def operation_fits(kind: ValueType, operation: str) -> bool:
    """Whether a variable of that type takes the operation."""
    if operation == "set":
        return kind in _SETTABLE
    if operation in ARITHMETIC:
        return kind in _NUMBERS
    if operation in _ARRAYS:
        return kind.is_array
    return operation in OPERATIONS


def constant_fits(kind: ValueType, operation: str) -> bool:
    """Whether a variable of that type takes the operation with a constant."""
    if kind in (ValueType.STRING, ValueType.OBJECT, ValueType.BOOLEAN):
        return operation in ("over-write", "set")
    return kind in _NUMBERS and operation in ("over-write", "set", *ARITHMETIC)


def check_input_type(kind: ValueType, operation: str, input_type: str) -> None:
    """Raise AssignerError when the operation does not suit the variable's type or the kind of its input."""
    if not operation_fits(kind, operation):
        raise AssignerError(
            f"Operation {operation} is not supported for type {kind.value}", "OperationNotSupportedError"
        )
    if operation in NULLARY:
        return
    if input_type == "variable":
        accepted = operation != "set" and operation not in ARITHMETIC
    else:
        accepted = constant_fits(kind, operation)
    if not accepted:
        raise AssignerError(
            f"Input type {input_type} is not supported for operation {operation}", "InputTypeNotSupportedError"
        )


def _is_number(data: Any) -> bool:
    return isinstance(data, int | float) and not isinstance(data, bool)


_ITEMS: Final[Mapping[ValueType, Callable[[Any], bool]]] = {
    ValueType.ARRAY_ANY: lambda data: isinstance(data, str | int | float | bool | dict | list | File),
    ValueType.ARRAY_STRING: lambda data: isinstance(data, str),
    ValueType.ARRAY_NUMBER: _is_number,
    ValueType.ARRAY_OBJECT: lambda data: isinstance(data, dict),
    ValueType.ARRAY_BOOLEAN: lambda data: isinstance(data, bool),
    ValueType.ARRAY_FILE: lambda data: isinstance(data, File),
}
_SCALARS: Final[Mapping[ValueType, Callable[[Any], bool]]] = {
    ValueType.STRING: lambda data: isinstance(data, str),
    ValueType.SECRET: lambda data: isinstance(data, str),
    ValueType.BOOLEAN: lambda data: isinstance(data, bool),
    ValueType.OBJECT: lambda data: isinstance(data, dict),
    ValueType.FILE: lambda data: isinstance(data, File),
    ValueType.NONE: lambda _: True,
    **dict.fromkeys(_NUMBERS, _is_number),
}


def fits(kind: ValueType, operation: str, data: Any) -> bool:
    """Whether the operation takes this value, by the type of the variable that is changed."""
    if operation in NULLARY:
        return True
    if not kind.is_array:
        return _SCALARS[kind](data) and not (operation == "/=" and data == 0)
    item = _ITEMS[kind]
    if operation == "append":
        return item(data)
    return isinstance(data, list) and all(item(one) for one in data)


def parse_object(data: Any) -> Any:
    """The object that a text stands for where an object variable is written."""
    try:
        return json.loads(data) if isinstance(data, str) else data
    except ValueError:
        raise invalid(data) from None


def invalid(data: Any) -> AssignerError:
    """The refusal of a value."""
    return AssignerError(f"Invalid input value {data}", "InvalidInputValueError")


def zero(kind: ValueType) -> Any:
    """What a cleared variable holds."""
    if kind.is_array:
        return []
    if kind in _NUMBERS:
        return 0
    return {ValueType.OBJECT: {}, ValueType.BOOLEAN: False, ValueType.STRING: "", ValueType.SECRET: ""}.get(kind)


_COMPUTE: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "over-write": lambda _, data: data,
    "set": lambda _, data: data,
    "append": lambda old, data: [*old, data],
    "extend": lambda old, data: [*old, *data],
    "remove-first": lambda old, _: old[1:],
    "remove-last": lambda old, _: old[:-1],
    "+=": lambda old, data: old + data,
    "-=": lambda old, data: old - data,
    "*=": lambda old, data: old * data,
    "/=": lambda old, data: old / data,
}


def apply(old: Value, operation: str, data: Any) -> Value:
    """The new value of a variable; `old` is left as it is, a number may change between whole and fractional."""
    new = zero(old.type) if operation == "clear" else _COMPUTE[operation](old.data, data)
    kind = old.type
    if kind in _NUMBERS:
        kind = ValueType.FLOAT if isinstance(new, float) else ValueType.INTEGER
    return Value(kind, new)


def updated_record(selector: list[str], value: Value) -> dict[str, Any]:
    """One entry of `__updated_variables` in the run's record."""
    return {
        "name": selector[1],
        "selector": list(selector[:2]),
        "value_type": value.type.value,
        "new_value": value.data,
    }
