"""The variable aggregator: after branches have joined, the first of several variables that has a value."""

from __future__ import annotations

from typing import Any

import msgspec
from dify_kernel.contracts.node import InlineNode, NodeConfig, NodeContext, NodeResult
from dify_kernel.graph.pool import Selector

__all__ = ["AggregatorConfig", "AggregatorNode", "LegacyAggregatorNode"]


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """A named group of candidates, read as `<group_name>.output`."""

    group_name: str
    variables: list[list[str]] | None = None
    output_type: str = "any"
    groupId: str | None = None


class AdvancedSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Several groups instead of one list."""

    group_enabled: bool = False
    groups: list[Group] | None = None


class AggregatorConfig(NodeConfig, kw_only=True):
    """Candidates in the order of preference. `output_type` is what the builder saw; it is not enforced."""

    output_type: str = "any"
    variables: list[list[str]] | None = None
    advanced_settings: AdvancedSettings | None = None


class AggregatorNode(InlineNode):
    """Gives the first variable that the pool holds, null included; without one there is no output."""

    type = "variable-aggregator"
    Config = AggregatorConfig
    config: AggregatorConfig

    def __init__(self, node_id: str, config: AggregatorConfig) -> None:
        super().__init__(node_id, config)
        advanced = config.advanced_settings
        self._grouped = advanced is not None and advanced.group_enabled
        if advanced is not None and self._grouped:
            self._groups = [(group.group_name, _selectors(group.variables)) for group in advanced.groups or []]
        else:
            self._groups = [("output", _selectors(config.variables))]

    def selectors(self) -> list[Selector]:
        """Every candidate."""
        return [selector for _, selectors in self._groups for selector in selectors]

    def problems(self) -> list[str]:
        """Group names that are missing or used twice."""
        names = [name for name, _ in self._groups]
        found = [f"The group {name!r} exists twice." for name in dict.fromkeys(names) if names.count(name) > 1]
        return found + (["A group has no `group_name`."] if "" in names else [])

    def evaluate(self, ctx: NodeContext) -> NodeResult:
        """The chosen values; `inputs` names what was chosen."""
        outputs: dict[str, Any] = {}
        inputs: dict[str, Any] = {}
        for name, selectors in self._groups:
            for selector in selectors:
                value = ctx.pool.get(selector)
                if value is not None:
                    outputs[name] = {"output": value.data} if self._grouped else value.data
                    inputs[".".join(selector[1:])] = value.data
                    break
        return NodeResult(outputs=outputs, inputs=inputs)


class LegacyAggregatorNode(AggregatorNode):
    """The aggregator under the name that old exports use."""

    type = "variable-assigner"


def _selectors(variables: list[list[str]] | None) -> list[Selector]:
    return [tuple(selector) for selector in variables or [] if len(selector) >= 2]
