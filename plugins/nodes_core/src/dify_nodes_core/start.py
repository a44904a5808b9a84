"""The start node: the run's inputs and system variables as outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from dify_kernel.contracts.node import InlineNode, NodeConfig, NodeContext, NodeKind, NodeResult
from dify_kernel.errors import NodeFailed
from dify_kernel.graph.inputs import InputType, InputVariable

from dify_nodes_core.json_schema import schema_problems, violation

__all__ = ["StartConfig", "StartNode"]


class StartConfig(NodeConfig, kw_only=True):
    """The form that a run is started with."""

    variables: list[InputVariable] | None = None


class StartNode(InlineNode):
    """Gives every input by its name and every system variable as `sys.<key>`.

    The inputs are checked against the form before the run and lie in the pool under this node's id.
    """

    type = "start"
    kind = NodeKind.ROOT
    Config = StartConfig
    config: StartConfig

    def __init__(self, node_id: str, config: StartConfig) -> None:
        super().__init__(node_id, config)
        self._schemas: list[tuple[InputVariable, Mapping[str, Any]]] = []
        self._problems = _duplicates(config.variables or [])
        for item in config.variables or []:
            if item.type is InputType.JSON_OBJECT and item.json_schema:
                self._add_schema(item)

    def _add_schema(self, item: InputVariable) -> None:
        schema: Any = item.json_schema
        try:
            schema = msgspec.json.decode(schema) if isinstance(schema, str) else schema
        except msgspec.DecodeError as exc:
            self._problems.append(f"The JSON schema of {item.variable!r} is not JSON: {exc}.")
            return
        found = schema_problems(schema)
        self._problems += [f"The JSON schema of {item.variable!r}: {text}" for text in found]
        if not found:
            self._schemas.append((item, schema))

    def problems(self) -> list[str]:
        """Names used twice, and schemas that cannot be checked."""
        return list(self._problems)

    def evaluate(self, ctx: NodeContext) -> NodeResult:
        """The values; NodeFailed when a JSON object does not fit its schema."""
        values = {name: value.data for name, value in ctx.pool.node(self.id).items()}
        for item, schema in self._schemas:
            self._check(item, schema, values.get(item.variable))
        for name, value in ctx.pool.node("sys").items():
            values[f"sys.{name}"] = value.data
        return NodeResult(outputs=values, inputs=values)

    def _check(self, item: InputVariable, schema: Mapping[str, Any], data: Any) -> None:
        if data is None:
            if item.required:
                raise NodeFailed(f"{item.variable} is required", error_type="ValueError", node_id=self.id)
            return
        found = violation(data, schema)
        if found:
            raise NodeFailed(
                f"JSON object for '{item.variable}' does not match schema: {found}",
                error_type="ValueError",
                node_id=self.id,
            )


def _duplicates(variables: list[InputVariable]) -> list[str]:
    names = [item.variable for item in variables]
    found = [f"The input {name!r} is declared twice." for name in dict.fromkeys(names) if names.count(name) > 1]
    return found + (["An input has no `variable` name."] if "" in names else [])
