"""Turns what a tool is given into the types that its parameters have: defaults, required ones, options. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from dify_kernel.contracts.tool import ToolInfo, ToolParameter
from dify_kernel.graph.values import File, plain

from dify_host.tools.errors import ToolParameterError

__all__ = ["prepare_parameters"]

_TRUE: Final = frozenset(("true", "yes", "y", "1", "on"))
_FALSE: Final = frozenset(("false", "no", "n", "0", "off", ""))


def prepare_parameters(tool: ToolInfo, given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of one call: each known one that is given or has a default, in its type.

    Null counts as not given, and so does an empty text where no text is wanted. Names that the tool does not know are
    dropped. ToolParameterError names a required parameter that is missing, and a value that does not fit.
    """
    prepared: dict[str, Any] = {}
    for parameter in tool.parameters:
        value = given.get(parameter.name)
        if _absent(parameter, value):
            value = parameter.default
        if not _absent(parameter, value):
            prepared[parameter.name] = _convert(tool, parameter, value)
        elif parameter.required:
            raise ToolParameterError(
                f"The tool {tool.name} needs the parameter {parameter.name}.",
                hint=parameter.description,
                tool=tool.name,
                field=parameter.name,
            )
    return prepared


def _absent(parameter: ToolParameter, value: Any) -> bool:
    return value is None or (value == "" and parameter.type not in ("string", "secret-input", "any"))


def _convert(tool: ToolInfo, parameter: ToolParameter, value: Any) -> Any:
    try:
        converted = _CONVERT.get(parameter.type, _as_it_is)(value)
    except (ValueError, TypeError, msgspec.DecodeError) as exc:
        raise ToolParameterError(
            f"The parameter {parameter.name} of {tool.name} is {_shown(value)}, which is no {parameter.type}.",
            hint="Give a value of that type.",
            tool=tool.name,
            field=parameter.name,
        ) from exc
    if parameter.type == "select" and parameter.options and converted not in parameter.options:
        raise ToolParameterError(
            f"The parameter {parameter.name} of {tool.name} is {_shown(value)}, which it does not have.",
            hint=f"Use one of: {', '.join(parameter.options)}.",
            tool=tool.name,
            field=parameter.name,
        )
    return converted


def _shown(value: Any) -> str:
    text = _text(value)
    return repr(text if len(text) <= 100 else text[:100] + "…")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(plain(value), ensure_ascii=False, default=str) if isinstance(value, dict | list) else str(value)


def _number(value: Any) -> int | float:
    if isinstance(value, str):
        value = float(value) if any(mark in value for mark in ".eE") else int(value)
    if isinstance(value, bool):
        return int(value)
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("no finite number")
    return value


def _boolean(value: Any) -> bool:
    if isinstance(value, str):
        word = value.strip().lower()
        if word not in _TRUE | _FALSE:
            raise ValueError("neither true nor false")
        return word in _TRUE
    return bool(value)


def _object(value: Any) -> dict[str, Any]:
    found = msgspec.json.decode(value) if isinstance(value, str) else value
    if not isinstance(found, dict):
        raise ValueError("no object")
    return found


def _array(value: Any) -> list[Any]:
    """A list; a text that is no JSON list is the one item of it."""
    if isinstance(value, str):
        try:
            decoded = msgspec.json.decode(value)
        except msgspec.DecodeError:
            return [value]
        return decoded if isinstance(decoded, list) else [decoded]
    return list(value) if isinstance(value, list | tuple) else [value]


def _file(value: Any) -> File:
    found = value[0] if isinstance(value, list) and len(value) == 1 else value
    if not isinstance(found, File):
        raise TypeError("no file")
    return found


def _files(value: Any) -> list[File]:
    return [_file(item) for item in (value if isinstance(value, list) else [value])]


def _as_it_is(value: Any) -> Any:
    return value


_CONVERT: Final[dict[str, Callable[[Any], Any]]] = {
    "string": _text,
    "select": _text,
    "dynamic-select": _text,
    "secret-input": _text,
    "number": _number,
    "boolean": _boolean,
    "checkbox": _boolean,
    "object": _object,
    "array": _array,
    "file": _file,
    "files": _files,
    "system-files": _files,
}
