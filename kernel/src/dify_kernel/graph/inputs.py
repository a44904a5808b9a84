"""The input form of an app: its variables, and what a caller's values become before a run.

The start node declares the form, the host checks against it before anything runs. Messages are those of Dify's API.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec

from dify_kernel.errors import BadInput
from dify_kernel.graph.values import File

__all__ = ["InputType", "InputVariable", "prepare_inputs"]


class InputType(StrEnum):
    """The kinds of field."""

    TEXT_INPUT = "text-input"
    PARAGRAPH = "paragraph"
    SELECT = "select"
    NUMBER = "number"
    FILE = "file"
    FILE_LIST = "file-list"
    CHECKBOX = "checkbox"
    JSON_OBJECT = "json_object"
    EXTERNAL_DATA_TOOL = "external_data_tool"


class InputVariable(msgspec.Struct, frozen=True, kw_only=True):
    """One field of the form. `max_length` counts characters, or files of a file-list; null lists mean empty ones."""

    variable: str
    label: Any = None
    description: str | None = None
    type: InputType = InputType.TEXT_INPUT
    required: bool = False
    hide: bool = False
    default: Any = None
    max_length: int | None = None
    options: list[Any] | None = None
    allowed_file_types: list[str] | None = None
    allowed_file_extensions: list[str] | None = None
    allowed_file_upload_methods: list[str] | None = None
    json_schema: dict[str, Any] | str | None = None


_TEXTS: Final = (InputType.TEXT_INPUT, InputType.PARAGRAPH, InputType.SELECT)
_TRUE: Final = frozenset(("true", "1", "yes", "on"))
_FALSE: Final = frozenset(("false", "0", "no", "off"))


def prepare_inputs(variables: Sequence[InputVariable], given: Mapping[str, Any]) -> dict[str, Any]:
    """Every declared name with its checked value; names that the form does not have are dropped.

    Files arrive as File (or as their mapping). Raises BadInput that names the variable.
    """
    return {item.variable: _strip(_check(item, given.get(item.variable))) for item in variables}


def _check(item: InputVariable, value: Any) -> Any:
    if value is None:
        if item.required:
            raise _bad(item, f"{item.variable} is required in input form")
        value = item.default
        if value is None or (value == "" and item.type not in (InputType.TEXT_INPUT, InputType.PARAGRAPH)):
            return None
    if item.type in _TEXTS:
        return _text(item, value)
    if item.type is InputType.NUMBER:
        return _number(item, value)
    if item.type is InputType.CHECKBOX:
        return _checkbox(value)
    if item.type is InputType.FILE and not isinstance(value, File | Mapping):
        raise _bad(item, f"{item.variable} in input form must be a file")
    if item.type is InputType.FILE_LIST:
        return _files(item, value)
    if item.type is InputType.JSON_OBJECT and not isinstance(value, Mapping):
        raise _bad(item, f"{item.variable} in input form must be a dict")
    return value


def _text(item: InputVariable, value: Any) -> str:
    if not isinstance(value, str):
        raise _bad(item, f"(type '{item.type.value}') {item.variable} in input form must be a string")
    if item.type is InputType.SELECT:
        options = item.options or []
        if value not in options:
            raise _bad(item, f"{item.variable} in input form must be one of the following: {options}")
    elif item.max_length and len(value) > item.max_length:
        raise _bad(item, f"{item.variable} in input form must be less than {item.max_length} characters")
    return value


def _number(item: InputVariable, value: Any) -> int | float | None:
    if isinstance(value, str):
        if not value.strip():
            return None
        try:
            value = float(value) if "." in value else int(value)
        except ValueError:
            value = math.nan
    if isinstance(value, bool):
        return int(value)
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise _bad(item, f"{item.variable} in input form must be a valid number")
    return value


def _checkbox(value: Any) -> Any:
    if isinstance(value, str):
        word = value.strip().lower()
        return True if word in _TRUE else False if word in _FALSE else value
    if isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    return value


def _files(item: InputVariable, value: Any) -> list[Any]:
    if not isinstance(value, list) or not all(isinstance(file, File | Mapping) for file in value):
        raise _bad(item, f"{item.variable} in input form must be a list of files")
    if item.max_length and len(value) > item.max_length:
        raise _bad(item, f"{item.variable} in input form must be less than {item.max_length} files")
    return value


def _strip(value: Any) -> Any:
    """NUL cannot be stored by every database; it goes from texts."""
    return value.replace("\x00", "") if isinstance(value, str) else value


def _bad(item: InputVariable, message: str) -> BadInput:
    return BadInput(message, variable=item.variable)
