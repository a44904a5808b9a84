"""The end node of a workflow: names values of the pool as the run's outputs."""

from __future__ import annotations

import msgspec
from dify_kernel.contracts.node import InlineNode, NodeConfig, NodeContext, NodeKind, NodeResult
from dify_kernel.graph.pool import Selector

__all__ = ["EndConfig", "EndNode", "EndOutput"]


class EndOutput(msgspec.Struct, frozen=True, kw_only=True):
    """One output of the run. `value_type` is what the builder saw; it is not enforced."""

    variable: str
    value_selector: list[str] = []
    value_type: str = "any"


class EndConfig(NodeConfig, kw_only=True):
    """The outputs in the order in which they stream."""

    outputs: list[EndOutput] | None = None


class EndNode(InlineNode):
    """Gives each output its value, null when it is missing; streams them in order, one a line."""

    type = "end"
    kind = NodeKind.RESPONSE
    Config = EndConfig
    config: EndConfig

    def __init__(self, node_id: str, config: EndConfig) -> None:
        super().__init__(node_id, config)
        self._outputs = [(item.variable, tuple(item.value_selector)) for item in config.outputs or []]
        self._selectors: list[Selector] = [selector for _, selector in self._outputs if len(selector) >= 2]

    def selectors(self) -> list[Selector]:
        """The variables behind the outputs."""
        return self._selectors

    def pieces(self) -> list[str | Selector]:
        """The variables with line ends between them."""
        pieces: list[str | Selector] = []
        for selector in self._selectors:
            pieces += ["\n", selector] if pieces else [selector]
        return pieces

    def missing(self, selector: Selector) -> str:
        """Nothing streams for a variable that does not exist: its output is null."""
        return ""

    def evaluate(self, ctx: NodeContext) -> NodeResult:
        """The outputs; `inputs` records the same values."""
        outputs = {}
        for name, selector in self._outputs:
            value = ctx.pool.get(selector) if selector else None
            outputs[name] = None if value is None else value.data
        return NodeResult(outputs=outputs, inputs=outputs)
