"""The JSON tools; names and parameters are those of Dify's `json_process` plugin."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import msgspec
from dify_kernel.contracts.tool import TextMessage, ToolInfo, ToolMessage, ToolParameter, ToolProvider
from dify_kernel.errors import ToolError

from dify_tools_json_process.changes import delete, insert, parse, replace

__all__ = ["JsonTools"]


class NoCredentials(msgspec.Struct, frozen=True):
    """Nothing to fill in."""


def _given(name: str, description: str, *, required: bool = True) -> ToolParameter:
    label = name.replace("_", " ").capitalize()
    return ToolParameter(name=name, required=required, label=label, description=description)


def _switch(name: str, description: str, *, default: bool) -> ToolParameter:
    return ToolParameter(
        name=name,
        type="boolean",
        form="form",
        default=default,
        label=name.replace("_", " ").capitalize(),
        description=description,
    )


_CONTENT = _given("content", "The JSON to be processed.")
_ASCII = _switch("ensure_ascii", "Escape what is not ASCII.", default=True)
_DECODE = _switch("value_decode", "Read the new value as JSON.", default=False)
_CREATE = ToolParameter(
    name="create_path",
    type="select",
    form="form",
    default="False",
    options=["True", "False"],
    label="Create path",
    description="Make the path when it does not exist.",
)
_INDEX = ToolParameter(
    name="index", type="number", form="form", label="Index", description="Where in a list; its end without one."
)
_MODEL = ToolParameter(
    name="replace_model",
    type="select",
    form="form",
    default="pattern",
    options=["key", "value", "pattern"],
    label="Replace model",
    description="What is replaced: a key, a value, or a part of a text.",
)

_TOOLS = (
    ToolInfo(
        name="parse",
        label="JSON Parse",
        description="Extract parts of JSON by a JSONPath.",
        parameters=[_CONTENT, _given("json_filter", "The JSONPath of what is wanted."), _ASCII],
    ),
    ToolInfo(
        name="json_delete",
        label="JSON Delete",
        description="Delete parts of JSON.",
        parameters=[_CONTENT, _given("query", "The JSONPath of what to delete."), _ASCII],
    ),
    ToolInfo(
        name="json_insert",
        label="JSON Insert",
        description="Insert a value into JSON.",
        parameters=[
            _CONTENT,
            _given("query", "The JSONPath of where to insert."),
            _given("new_value", "The value to insert."),
            _DECODE,
            _CREATE,
            _INDEX,
            _ASCII,
        ],
    ),
    ToolInfo(
        name="json_replace",
        label="JSON Replace",
        description="Replace keys, values or texts in JSON.",
        parameters=[
            _CONTENT,
            _given("query", "The JSONPath of what to replace."),
            _given("replace_pattern", "The text to be replaced, for the model `pattern`.", required=False),
            _given("replace_value", "The new value."),
            _DECODE,
            _MODEL,
            _ASCII,
        ],
    ),
)

_WORK: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "parse": parse,
    "json_delete": delete,
    "json_insert": insert,
    "json_replace": replace,
}


class JsonTools(ToolProvider):
    """Reads and changes JSON by JSONPath; reaches nothing else."""

    name = "json_process"
    label = "JSON Process"
    Credentials = NoCredentials

    def tools(self) -> Sequence[ToolInfo]:
        """Parse, delete, insert, replace."""
        return _TOOLS

    async def invoke(self, tool: str, parameters: Mapping[str, Any], credentials: Any) -> AsyncIterator[ToolMessage]:
        """The result as one text; ToolError names the parameter that is wrong."""
        work = _WORK.get(tool)
        if work is None:
            raise ToolError(f"There is no JSON tool {tool!r}.", hint=f"There are {', '.join(_WORK)}.", tool=tool)
        yield TextMessage(work(parameters))
