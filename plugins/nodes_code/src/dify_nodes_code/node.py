"""The `code` node."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from dify_kernel.contracts.node import (
    Delta,
    Node,
    NodeConfig,
    NodeContext,
    NodeResult,
    NodeStatus,
    VariableSelector,
)
from dify_kernel.errors import CodeExecutionError, NodeFailed
from dify_kernel.graph.pool import Selector
from dify_kernel.graph.values import plain

from dify_nodes_code.outputs import OUTPUT_TYPES, OutputSpec, check_outputs

__all__ = ["LANGUAGES", "CodeConfig", "CodeNode"]

LANGUAGES = ("python3", "javascript")


class CodeConfig(NodeConfig, kw_only=True):
    """User code, the variables that `main` gets by name, and the outputs that it must return."""

    code: str
    code_language: str = "python3"
    variables: list[VariableSelector] | None = None
    outputs: dict[str, OutputSpec] | None = None


class CodeNode(Node):
    """Calls `main` of the user's code in the sandbox and checks what it returns."""

    type = "code"
    Config = CodeConfig
    retryable = True
    config: CodeConfig

    def selectors(self) -> list[Selector]:
        """The variables that are handed to `main`."""
        return [tuple(item.value_selector) for item in self.config.variables or ()]

    def problems(self) -> list[str]:
        """An unknown language, or an output type that code cannot return."""
        found = []
        if self.config.code_language not in LANGUAGES:
            found.append(f"The language {self.config.code_language!r} is not one of {', '.join(LANGUAGES)}.")
        found += _unknown_types(self.config.outputs or {}, "")
        return found

    async def run(self, ctx: NodeContext) -> AsyncIterator[Delta]:
        """One result; a failed one keeps the inputs."""
        inputs = self._inputs(ctx)
        try:
            result = await ctx.ports.sandbox.execute(
                self.config.code_language, self.config.code, inputs, timeout=ctx.limits.code_timeout
            )
            outputs = check_outputs(result, self.config.outputs or {}, ctx.limits)
        except (CodeExecutionError, NodeFailed) as exc:
            kind = exc.error_type if isinstance(exc, NodeFailed) else "CodeExecutionError"
            yield NodeResult(status=NodeStatus.FAILED, inputs=inputs, error=str(exc), error_type=kind)
            return
        yield NodeResult(inputs=inputs, outputs=outputs)

    def _inputs(self, ctx: NodeContext) -> dict[str, Any]:
        """Plain values by name; a variable that does not exist is null."""
        values = {item.variable: ctx.get(item.value_selector) for item in self.config.variables or ()}
        return {name: plain(value) for name, value in values.items()}


def _unknown_types(specs: dict[str, OutputSpec], prefix: str) -> list[str]:
    found = []
    for name, spec in specs.items():
        if spec.type not in OUTPUT_TYPES:
            found.append(f"The output {prefix}{name} has the type {spec.type!r}, which code cannot return.")
        found += _unknown_types(spec.children or {}, f"{prefix}{name}.")
    return found
