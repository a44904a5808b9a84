"""The `data` of a `tool` node, and how its parameters become values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from dify_kernel.contracts.node import NodeConfig, NodeContext
from dify_kernel.contracts.tool import ToolInfo
from dify_kernel.errors import NodeFailed
from dify_kernel.graph.pool import Selector, template_selectors

__all__ = ["ToolConfig", "ToolInput", "fill_in", "input_problems", "input_selectors"]

_TYPES = ("mixed", "variable", "constant")


class ToolInput(msgspec.Struct, frozen=True):
    """Where a parameter comes from: a template, a selector, or the value itself."""

    type: str
    value: Any = None


class ToolConfig(NodeConfig, kw_only=True):
    """One call of one tool. `tool_configurations` are what the builder set: plain values, or as the parameters are."""

    provider_id: str
    provider_type: str
    tool_name: str
    provider_name: str = ""
    tool_label: str = ""
    tool_parameters: dict[str, ToolInput] = {}
    tool_configurations: dict[str, Any] | None = None
    credential_id: str | None = None
    plugin_unique_identifier: str | None = None
    tool_node_version: str | None = None

    def inputs(self) -> dict[str, ToolInput]:
        """Every parameter that is given, the builder's first; those without a value are left out."""
        configured = {name: _as_input(value) for name, value in (self.tool_configurations or {}).items()}
        return {name: item for name, item in (configured | self.tool_parameters).items() if item.value is not None}


def _as_input(value: Any) -> ToolInput:
    if isinstance(value, dict) and value.get("type") in _TYPES and "value" in value:
        return ToolInput(value["type"], value["value"])
    return ToolInput("plain", value)


def input_selectors(inputs: Iterable[ToolInput]) -> list[Selector]:
    """The variables that the parameters read."""
    found: list[Selector] = []
    for item in inputs:
        if item.type == "variable" and isinstance(item.value, list):
            found.append(tuple(str(part) for part in item.value))
        elif item.type in ("mixed", "constant") and isinstance(item.value, str):
            found += template_selectors(item.value)
    return found


def input_problems(inputs: Mapping[str, ToolInput]) -> list[str]:
    """What is wrong with the way that parameters are given, one sentence each."""
    found = []
    for name, item in inputs.items():
        if item.type not in (*_TYPES, "plain"):
            found.append(f"The parameter {name} has the type {item.type!r}, which is not one of {', '.join(_TYPES)}.")
        elif item.type == "variable" and not isinstance(item.value, list):
            found.append(f"The parameter {name} is a variable, but its value is no selector.")
    return found


def fill_in(inputs: Mapping[str, ToolInput], tool: ToolInfo, ctx: NodeContext) -> dict[str, Any]:
    """The parameters of one call. One that the tool does not know is null.

    NodeFailed (ToolParameterError) for a required one whose variable does not exist; others are left out.
    """
    known = {parameter.name: parameter for parameter in tool.parameters}
    filled: dict[str, Any] = {}
    for name, item in inputs.items():
        if name not in known:
            filled[name] = None
        elif item.type == "variable":
            value = ctx.get(item.value)
            if value is not None:
                filled[name] = value.data
            elif known[name].required:
                raise NodeFailed(
                    f"Variable {'.'.join(map(str, item.value))} does not exist.",
                    error_type="ToolParameterError",
                    hint=f"The parameter {name} of {tool.name} needs it.",
                    node_id=ctx.node_id,
                )
        elif item.type in ("mixed", "constant") and isinstance(item.value, str):
            filled[name] = ctx.render(item.value)
        else:
            filled[name] = item.value
    return filled
