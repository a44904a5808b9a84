"""The `human-input` node."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from dify_kernel.contracts.node import Delta, Node, NodeContext, NodeKind, NodeResult, Pause
from dify_kernel.graph.pool import Selector

from dify_nodes_human.answer import read_submission
from dify_nodes_human.config import HumanInputConfig
from dify_nodes_human.form import Form
from dify_nodes_human.gate import Gate
from dify_nodes_human.rules import TIMEOUT, form_problems

__all__ = ["HumanInputNode"]

REQUIRED = "human_input_required"


class HumanInputNode(Node):
    """Waits until somebody has filled in a form, and leaves by the button that they pressed."""

    type = "human-input"
    Config = HumanInputConfig
    kind = NodeKind.BRANCH
    config: HumanInputConfig

    def __init__(self, node_id: str, config: HumanInputConfig) -> None:
        super().__init__(node_id, config)
        self.form = Form(config)
        self.gate = None if config.has_form else Gate(config)

    def selectors(self) -> list[Selector]:
        """The variables of the form, or those that are waited for."""
        return self.gate.required if self.gate else self.form.selectors()

    def handles(self) -> list[str]:
        """The ids of the buttons, and `__timeout`; without a form `source`, or the default."""
        if self.gate:
            return list(dict.fromkeys(("source", self.gate.default)))
        return [*(action.id for action in self.form.actions), TIMEOUT]

    def problems(self) -> list[str]:
        """Names and ids that are missing, taken, too long or used twice, no button, a bad timeout."""
        return self.gate.problems() if self.gate else form_problems(self.config)

    async def run(self, ctx: NodeContext) -> AsyncIterator[Delta]:
        """The question while nobody has answered, then the fields and the button."""
        if self.gate:
            yield self._wait(self.gate, ctx)
        elif ctx.answer is None:
            yield Pause(type=REQUIRED, data=self.form.question(ctx), expires_in=self.config.expires_in)
        else:
            yield self._result(ctx.answer, ctx)

    def _wait(self, gate: Gate, ctx: NodeContext) -> Pause | NodeResult:
        if ctx.answer is not None:
            return NodeResult(handle=str(ctx.answer.get("action") or gate.handle(ctx)))
        missing = gate.missing(ctx)
        return Pause(type=REQUIRED, data=gate.question(missing)) if missing else NodeResult(handle=gate.handle(ctx))

    def _result(self, answer: dict[str, Any], ctx: NodeContext) -> NodeResult:
        """NodeFailed when the answer does not fit the form."""
        if answer.get("timeout"):
            return NodeResult(outputs=self._outputs({}, "", ctx), handle=TIMEOUT)
        submitted = read_submission(self.form, answer, ctx)
        return NodeResult(outputs=self._outputs(submitted.fields, submitted.action, ctx), handle=submitted.action)

    def _outputs(self, fields: dict[str, Any], action: str, ctx: NodeContext) -> dict[str, Any]:
        content = self.form.content.render(ctx, fields)
        return {**fields, "__action_id": action, "__rendered_content": content}
