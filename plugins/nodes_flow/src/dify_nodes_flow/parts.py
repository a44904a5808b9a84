"""What stands inside containers: where a round begins, and what ends a loop after its round."""

from __future__ import annotations

from dify_kernel.contracts.node import InlineNode, NodeContext, NodeKind, NodeResult

__all__ = ["IterationStart", "LoopEnd", "LoopStart"]


class IterationStart(InlineNode):
    """Where each round of an iteration begins; nobody sees it run."""

    type = "iteration-start"
    kind = NodeKind.ROOT
    silent = True

    def evaluate(self, ctx: NodeContext) -> NodeResult:
        """Nothing to do."""
        return NodeResult()


class LoopStart(IterationStart):
    """Where each round of a loop begins; nobody sees it run."""

    type = "loop-start"


class LoopEnd(InlineNode):
    """Reaching it ends the loop after the round."""

    type = "loop-end"

    def evaluate(self, ctx: NodeContext) -> NodeResult:
        """Nothing to do: the loop sees that it ran."""
        return NodeResult()
