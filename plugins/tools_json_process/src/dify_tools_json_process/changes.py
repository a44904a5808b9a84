"""What the JSON tools do, as functions of their parameters. Pure; the arguments are left alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from dify_kernel.errors import ToolError
from jsonpath_ng import DatumInContext, Fields, JSONPath
from jsonpath_ng.exceptions import JSONPathError
from jsonpath_ng.parser import parse as read_path

__all__ = ["delete", "insert", "parse", "replace"]


def parse(parameters: Mapping[str, Any]) -> str:
    """What a path finds: nothing is an empty text, one value stands alone, several are a list."""
    found = [match.value for match in _found(parameters, "json_filter", _content(parameters))]
    if not found:
        return ""
    wanted = found[0] if len(found) == 1 else found
    return _written(parameters, wanted) if isinstance(wanted, dict | list) else str(wanted)


def delete(parameters: Mapping[str, Any]) -> str:
    """The JSON without what a path finds."""
    content = _content(parameters)
    return _written(parameters, _path(parameters, "query").filter(lambda _: True, content))


def insert(parameters: Mapping[str, Any]) -> str:
    """The JSON with a value merged into an object, put into a list, or in place of anything else."""
    content, value = _content(parameters), _value(parameters, "new_value")
    matches = _found(parameters, "query", content)
    if not matches and str(parameters.get("create_path")).lower() in ("true", "1"):
        return _written(parameters, _path(parameters, "query").update_or_create(content, value))
    for match in matches:
        if isinstance(match.value, dict):
            if not isinstance(value, dict):
                raise ToolError(
                    "`new_value` is no object, and is to be inserted into one.",
                    hint="Give an object and switch value_decode on, or name a new key and switch create_path on.",
                    field="new_value",
                )
            match.value.update(value)
        elif isinstance(match.value, list):
            _put(match.value, parameters.get("index"), value)
        else:
            content = match.full_path.update(content, value)
    return _written(parameters, content)


def replace(parameters: Mapping[str, Any]) -> str:
    """The JSON with keys renamed, values replaced, or a text within texts replaced by another."""
    model = parameters.get("replace_model") or "pattern"
    content, new = _content(parameters), _text(parameters, "replace_value")
    if model == "key":
        for match in _found(parameters, "query", content):
            _rename(match, new)
        return _written(parameters, content)
    if model == "value":
        return _written(parameters, _path(parameters, "query").update(content, _value(parameters, "replace_value")))
    if model != "pattern":
        raise ToolError(f"`replace_model` is {model!r}.", hint="Use key, value or pattern.", field="replace_model")
    old = _text(parameters, "replace_pattern")
    if not old:
        raise ToolError("`replace_pattern` is empty.", hint="Give the text to be replaced.", field="replace_pattern")
    for match in _found(parameters, "query", content):
        if isinstance(match.value, str):
            changed: Any = match.value.replace(old, new)
            if parameters.get("value_decode"):
                changed = _decoded(changed, "replace_value")
            content = match.full_path.update(content, changed)
    return _written(parameters, content)


def _put(items: list[Any], index: Any, value: Any) -> None:
    if index is None:
        items.append(value)
        return
    try:
        items.insert(int(index), value)
    except (TypeError, ValueError) as exc:
        raise ToolError(f"`index` is {index!r}, which is no whole number.", field="index") from exc


def _rename(match: DatumInContext, new: str) -> None:
    """Give a member of an object another name, at its old place."""
    parent = match.context.value if match.context is not None else None
    if not isinstance(parent, dict) or not isinstance(match.path, Fields):
        return
    old = match.path.fields[0]
    members = [(new if key == old else key, value) for key, value in parent.items()]
    parent.clear()
    parent.update(members)


def _content(parameters: Mapping[str, Any]) -> Any:
    return _decoded(_text(parameters, "content"), "content")


def _value(parameters: Mapping[str, Any], name: str) -> Any:
    text = _text(parameters, name)
    return _decoded(text, name) if parameters.get("value_decode") else text


def _text(parameters: Mapping[str, Any], name: str) -> str:
    value = parameters.get(name)
    if not isinstance(value, str):
        raise ToolError(f"`{name}` is missing.", hint="Give it as a text.", field=name)
    return value


def _decoded(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise ToolError(f"`{name}` is no JSON: {exc}.", hint="Check it.", field=name) from exc


def _found(parameters: Mapping[str, Any], name: str, content: Any) -> list[DatumInContext]:
    found: list[DatumInContext] = _path(parameters, name).find(content)
    return found


def _path(parameters: Mapping[str, Any], name: str) -> JSONPath:
    text = _text(parameters, name)
    try:
        return _read(text)
    except (JSONPathError, ValueError, RecursionError) as exc:
        raise ToolError(f"`{name}` is no JSONPath: {exc}.", hint="For instance $.items[0].name.", field=name) from exc


@lru_cache(maxsize=256)
def _read(text: str) -> JSONPath:
    return read_path(text)


def _written(parameters: Mapping[str, Any], value: Any) -> str:
    return json.dumps(value, ensure_ascii=parameters.get("ensure_ascii") is not False)
