"""External data tools of an app: variables of its form that a service fills before a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from dify_kernel.errors import DifyError, PlatformUnavailable

from dify_host.extensions.errors import ExtensionFailed
from dify_host.extensions.service import ApiExtensions

__all__ = ["DataTool", "data_tools", "fill"]


class DataTool(msgspec.Struct, frozen=True, kw_only=True):
    """One variable and the extension that knows its value."""

    variable: str
    extension_id: str


def data_tools(listed: Sequence[Any], form: Sequence[Any]) -> list[DataTool]:
    """The tools of `external_data_tools`, and those that stand in `user_input_form`; each variable once."""
    found: dict[str, DataTool] = {}
    for item in (*listed, *_in_form(form)):
        if not isinstance(item, Mapping) or not item.get("enabled", True) or item.get("type") != "api":
            continue
        config, variable = item.get("config") or {}, item.get("variable")
        if isinstance(variable, str) and variable and isinstance(config, Mapping):
            extension_id = str(config.get("api_based_extension_id") or "")
            found.setdefault(variable, DataTool(variable=variable, extension_id=extension_id))
    return list(found.values())


def _in_form(form: Sequence[Any]) -> Iterator[Any]:
    for item in form:
        if isinstance(item, Mapping) and isinstance(item.get("external_data_tool"), Mapping):
            yield item["external_data_tool"]


async def fill(
    tool: DataTool, extensions: ApiExtensions, app_id: str, inputs: Mapping[str, Any], query: str
) -> tuple[str, str]:
    """The variable and what the service says of it; ExtensionFailed that names the variable."""
    params = {"app_id": app_id, "tool_variable": tool.variable, "inputs": dict(inputs), "query": query}
    try:
        answer = await extensions.call(tool.extension_id, "app.external_data_tool.query", params)
    except PlatformUnavailable:
        raise
    except DifyError as exc:
        raise ExtensionFailed(
            f"[External data tool] API query failed, variable: {tool.variable}, error: {exc}", variable=tool.variable
        ) from exc
    result = answer.get("result")
    if not isinstance(result, str):
        raise ExtensionFailed(
            f"[External data tool] API query failed, variable: {tool.variable}, error: result is no text.",
            variable=tool.variable,
        )
    return tool.variable, result
