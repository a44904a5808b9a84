"""Checks what user code returned against the declared outputs. Pure.

The rules and the words of every refusal are Dify's: apps branch on `error_type` and show `error_message`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec
from dify_kernel.contracts.node import Limits
from dify_kernel.errors import NodeFailed

__all__ = ["OUTPUT_TYPES", "OutputSpec", "check_outputs"]

OUTPUT_TYPES = frozenset(
    ["string", "number", "object", "boolean", "array[string]", "array[number]", "array[object]", "array[boolean]"]
)

# A JSON writer that prefers this notation hands numbers over as text.
_SCIENTIFIC = re.compile(r"-?\d+\.?\d*e[+-]\d+", re.IGNORECASE)


class OutputSpec(msgspec.Struct, frozen=True):
    """One declared output; `children` declare the keys of an object or of the objects in a list."""

    type: str
    children: dict[str, OutputSpec] | None = None


def check_outputs(result: Any, declared: Mapping[str, OutputSpec], limits: Limits) -> dict[str, Any]:
    """The result as outputs: NUL characters removed, booleans under `number` as 0 and 1, null wherever it stands.

    Raises NodeFailed whose error_type is OutputValidationError, DepthLimitError or CodeNodeError.
    """
    if not isinstance(result, dict):
        raise _refused(f"Result must be a dict, got {type(result).__name__}")
    if not all(isinstance(key, str) for key in result):
        raise _refused("Result keys must be strings")
    return _Checker(limits).declared(result, declared, "", 1)


def _refused(message: str, error_type: str = "OutputValidationError") -> NodeFailed:
    return NodeFailed(message, error_type=error_type)


def _instead(path: str, wanted: str, value: Any) -> NodeFailed:
    return _refused(f"Output {path} is not {wanted}, got {type(value)} instead.")


def _as_number(value: Any) -> Any:
    return float(value) if isinstance(value, str) and _SCIENTIFIC.fullmatch(value) else value


class _Checker:
    """One walk over a result. `path` names a place as `a.b[0]`; the result itself has depth 1."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits

    # -- declared outputs -------------------------------------------------------------------------------------

    def declared(
        self, result: dict[str, Any], specs: Mapping[str, OutputSpec], prefix: str, depth: int
    ) -> dict[str, Any]:
        """Exactly the declared keys, each of its type."""
        self._depth(depth)
        checked = {}
        for name, spec in specs.items():
            path = f"{prefix}.{name}" if prefix else name
            if name not in result:
                raise _refused(f"Output {path} is missing.")
            checked[name] = None if result[name] is None else self._one(result[name], spec, path, depth)
        if len(checked) != len(result):
            raise _refused("Not all output parameters are validated.", "CodeNodeError")
        return checked

    def _one(self, value: Any, spec: OutputSpec, path: str, depth: int) -> Any:
        match spec.type:
            case "string":
                return self._string(value, path)
            case "number":
                return self._number(value, path)
            case "boolean":
                return value
            case "object":
                return self._object(value, spec.children, path, depth)
            case "array[string]":
                self._list(value, path, self.limits.code_max_string_array_length)
                return [None if item is None else self._string(item, f"{path}[{i}]") for i, item in enumerate(value)]
            case "array[number]":
                self._list(value, path, self.limits.code_max_number_array_length)
                return [None if item is None else self._element(item, path, i) for i, item in enumerate(value)]
            case "array[object]":
                self._list(value, path, self.limits.code_max_object_array_length)
                return [
                    None if item is None else self._object(item, spec.children, f"{path}[{i}]", depth, at=i)
                    for i, item in enumerate(value)
                ]
            case "array[boolean]":
                self._list(value, path, None)
                for index, item in enumerate(value):
                    if item is not None and not isinstance(item, bool):
                        raise _instead(f"{path}[{index}]", "a boolean", item)
                return value
        raise _refused(f"Output type {spec.type} is not supported.")

    def _list(self, value: Any, path: str, most: int | None) -> None:
        if not isinstance(value, list):
            raise _instead(path, "an array", value)
        if most is not None and len(value) > most:
            raise _refused(f"The length of output variable `{path}` must be less than {most} elements.")

    def _element(self, value: Any, path: str, index: int) -> Any:
        if not isinstance(_as_number(value), int | float):
            raise _refused(f"The element at index {index} of output variable `{path}` must be a number.")
        return self._number(value, f"{path}[{index}]")

    def _object(
        self, value: Any, children: Mapping[str, OutputSpec] | None, path: str, depth: int, at: int | None = None
    ) -> Any:
        if not isinstance(value, dict):
            where = "" if at is None else f" at index {at}"
            raise _refused(f"Output {path} is not an object, got {type(value)} instead{where}.")
        if children is None:
            return self._free(value, path, depth + 1)
        return self.declared(value, children, path, depth + 1)

    # -- single values ----------------------------------------------------------------------------------------

    def _string(self, value: Any, path: str) -> str:
        if isinstance(value, dict | list):
            raise _instead(path, "a string", value)
        if not isinstance(value, str):
            # Not a good sentence, but the one that existing apps know for this mistake.
            raise _refused(f"object of type '{type(value).__name__}' has no len()")
        if len(value) > self.limits.code_max_string_length:
            most = self.limits.code_max_string_length
            raise _refused(f"The length of output variable `{path}` must be less than {most} characters")
        return value.replace("\x00", "") if "\x00" in value else value

    def _number(self, value: Any, path: str) -> int | float:
        value = _as_number(value)
        if not isinstance(value, int | float):
            raise _instead(path, "a number", value)
        if isinstance(value, bool):
            return int(value)
        if math.isnan(value):
            # As above: what a NaN has always been answered with.
            raise _refused("'<' not supported between instances of 'str' and 'int'")
        low, high = self.limits.code_min_number, self.limits.code_max_number
        if value < low or value > high:
            raise _refused(f"Output variable `{path}` is out of range, it must be between {low} and {high}.")
        if isinstance(value, float) and _decimals(value) > self.limits.code_max_precision:
            most = self.limits.code_max_precision
            raise _refused(f"Output variable `{path}` has too high precision, it must be less than {most} digits.")
        return value

    # -- objects without declared keys ------------------------------------------------------------------------

    def _free(self, data: dict[str, Any], prefix: str, depth: int) -> dict[str, Any]:
        """Any keys; sizes, depth and the sameness of list items are still held to."""
        self._depth(depth)
        return {name: self._free_value(value, f"{prefix}.{name}", depth) for name, value in data.items()}

    def _free_value(self, value: Any, path: str, depth: int) -> Any:
        value = _as_number(value)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, dict):
            return self._free(value, path, depth + 1)
        if isinstance(value, int | float):
            return self._number(value, path)
        if isinstance(value, str):
            return self._string(value, path)
        if isinstance(value, list):
            return self._free_list(value, path, depth)
        raise _refused(f"Output {path} is not a valid type.")

    def _free_list(self, items: list[Any], path: str, depth: int) -> list[Any]:
        first = items[0] if items else None
        if first is None:
            return items
        kind = next((kind for kind in (int | float, str, dict) if isinstance(first, kind)), None)
        if kind is None or not all(item is None or isinstance(item, kind) for item in items):
            raise _refused(f"Output {path} is not a valid array. make sure all elements are of the same type.")
        return [self._free_value(item, f"{path}[{index}]", depth) for index, item in enumerate(items)]

    def _depth(self, depth: int) -> None:
        if depth > self.limits.code_max_depth:
            raise _refused(f"Depth limit {self.limits.code_max_depth} reached, object too deep.", "DepthLimitError")


def _decimals(value: float) -> int:
    exponent = Decimal(str(value)).normalize().as_tuple().exponent
    return -exponent if isinstance(exponent, int) and exponent < 0 else 0
