"""The `tool` node: one call of a tool of the workspace."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from dify_kernel.contracts.node import Delta, Node, NodeContext, NodeResult
from dify_kernel.errors import DifyError, NotFound, PluginNotFound
from dify_kernel.graph.pool import Selector

from dify_nodes_agent.tool_config import ToolConfig, fill_in, input_problems, input_selectors
from dify_nodes_agent.tool_outputs import ToolOutputs

__all__ = ["ToolNode"]


class ToolNode(Node):
    """Calls one tool and gives what it says as text, JSON, files and variables."""

    type = "tool"
    Config = ToolConfig
    retryable = True
    config: ToolConfig

    def selectors(self) -> list[Selector]:
        """Every variable that a parameter reads."""
        return input_selectors(self.config.inputs().values())

    def problems(self) -> list[str]:
        """A parameter of an unknown type, or a variable without a selector."""
        return input_problems(self.config.inputs())

    async def run(self, ctx: NodeContext) -> AsyncIterator[Delta]:
        """The text as the tool says it, then one result; a failed one keeps the parameters."""
        config = self.config
        metadata = {
            "tool_info": {
                "provider_type": config.provider_type,
                "provider_id": config.provider_id,
                "plugin_unique_identifier": config.plugin_unique_identifier,
            }
        }
        inputs: dict[str, Any] = {}
        outputs = ToolOutputs(ctx.ports.files)
        where = (config.provider_type, config.provider_id, config.tool_name)
        try:
            tool = await ctx.ports.tools.describe(*where, credential_id=config.credential_id)
            inputs = fill_in(config.inputs(), tool, ctx)
            calling = ctx.ports.tools.invoke(*where, inputs, credential_id=config.credential_id, key=ctx.key)
            async for message in calling:
                delta = await outputs.take(message)
                if delta is not None:
                    yield delta
        except DifyError as exc:
            yield NodeResult.failed(exc, error_type=_error_type(exc), inputs=inputs, metadata=metadata)
            return
        yield NodeResult(inputs=inputs, outputs=outputs.all(), metadata=metadata)


def _error_type(exc: DifyError) -> str:
    return "ToolProviderNotFoundError" if isinstance(exc, NotFound | PluginNotFound) else "ToolInvokeError"
