"""The `agent` node."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec
from dify_kernel.contracts.model import ModelInfo, ModelType
from dify_kernel.contracts.node import Delta, Node, NodeContext, NodeResult, RetrieverResources
from dify_kernel.errors import DifyError
from dify_kernel.graph.pool import Selector
from dify_kernel.graph.values import Value, ValueType

from dify_nodes_agent.agent_config import AgentConfig, Job, read_job, resolve
from dify_nodes_agent.agent_loop import AgentLoop
from dify_nodes_agent.agent_messages import instruction, question, remembered
from dify_nodes_agent.agent_steps import Steps
from dify_nodes_agent.agent_strategies import Opening, strategy_of
from dify_nodes_agent.agent_tools import Toolbox

__all__ = ["AgentNode"]


class AgentNode(Node):
    """Lets a model answer in rounds, with tools, by function calling or ReAct."""

    type = "agent"
    Config = AgentConfig
    config: AgentConfig

    def selectors(self) -> list[Selector]:
        """The variables of the parameters and the files."""
        return self.config.selectors()

    def problems(self) -> list[str]:
        """A parameter of an unknown type, or a variable without a selector."""
        found = []
        for name, given in self.config.given.items():
            if given.type not in ("constant", "mixed", "variable"):
                found.append(f"The parameter {name} has the type {given.type!r}, not constant, mixed or variable.")
            elif given.type == "variable" and not isinstance(given.value, list):
                found.append(f"The parameter {name} is a variable, but its value is no selector.")
        return found

    def extras(self) -> dict[str, Any]:
        """How it goes about its work."""
        return {"agent_strategy": {"name": self.config.agent_strategy_name, "icon": None}}

    async def run(self, ctx: NodeContext) -> AsyncIterator[Delta]:
        """Steps, citations and the answer as they come, then the result; a failed one keeps what was known."""
        steps = Steps(ctx)
        inputs: dict[str, Any] = {}
        loop: AgentLoop | None = None
        try:
            values = resolve(self.config, ctx)
            inputs = _shown(values)
            job = read_job(values, ctx)
            if isinstance(job.context, list):
                resources = RetrieverResources.of(job.context)
                if resources.resources:
                    yield resources
            info = await ctx.ports.models.describe(job.model.provider, job.model.model, ModelType.LLM)
            strategy = strategy_of(self.config, info, ctx)
            toolbox = await Toolbox.open(job.tools, ctx)
            opening = await self._opening(job, info, toolbox, ctx)
            loop = AgentLoop(job, strategy(job, opening), toolbox, steps, ctx)
            async for delta in loop.run():
                yield delta
            result = self._result(loop, steps)
        except DifyError as exc:
            result = NodeResult.failed(exc, metadata={"agent_log": steps.entries()})
            result.usage = loop.usage if loop else None
        result.inputs = inputs
        yield result

    async def _opening(self, job: Job, info: ModelInfo, toolbox: Toolbox, ctx: NodeContext) -> Opening:
        told = instruction(job)
        beside = f"{told}{job.query}{msgspec.json.encode(toolbox.specs).decode()}"
        return Opening(
            instruction=told,
            history=await remembered(self.config, job, info, ctx, beside=beside),
            question=await question(self.config, job, info, ctx),
            tools=toolbox.specs,
            user=ctx.run.user_id,
        )

    def _result(self, loop: AgentLoop, steps: Steps) -> NodeResult:
        entries = steps.entries()
        outputs: dict[str, Any] = {
            "text": loop.text,
            "usage": msgspec.to_builtins(loop.usage),
            "files": Value(ValueType.ARRAY_FILE, loop.files),
            "json": [*entries, *(loop.json or [{"data": []}])],
        }
        strategy = self.config.agent_strategy_name
        metadata = {"agent_log": entries, "tool_info": {"agent_strategy": strategy, "icon": None}}
        return NodeResult(outputs=outputs, usage=loop.usage, metadata=metadata)


def _shown(values: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as the run record shows them: of tools not their whole description."""
    tools = values.get("tools")
    if not isinstance(tools, list):
        return dict(values)
    listed = [{k: v for k, v in tool.items() if k != "schemas"} for tool in tools if isinstance(tool, dict)]
    return {**values, "tools": listed}
