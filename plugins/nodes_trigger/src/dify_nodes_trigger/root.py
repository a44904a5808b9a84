"""What the triggers share: the root of a run, which gives on what the run was started with."""

from __future__ import annotations

from typing import Any

from dify_kernel.contracts.node import InlineNode, NodeContext, NodeKind, NodeResult
from dify_kernel.graph.values import Value

__all__ = ["TriggerNode"]


class TriggerNode(InlineNode):
    """A root. What its trigger brought lies in the pool under this node's id, as the inputs of a start node do."""

    kind = NodeKind.ROOT

    def evaluate(self, ctx: NodeContext) -> NodeResult:
        """What `outputs` makes of the inputs, and every system variable as `sys.<key>`."""
        given = ctx.pool.node(self.id)
        system = {f"sys.{name}": value.data for name, value in ctx.pool.node("sys").items()}
        inputs = {name: value.data for name, value in given.items()} | system
        return NodeResult(outputs={**self.outputs(given), **system}, inputs=inputs)

    def outputs(self, given: Any) -> dict[str, Any]:
        """The inputs as they are, with their types; `given` maps names to values."""
        values: dict[str, Value] = dict(given)
        return values
