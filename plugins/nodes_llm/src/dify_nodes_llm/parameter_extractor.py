"""The `parameter-extractor` node: a model finds typed values in a text."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
from dify_kernel.contracts.model import ModelFeature, ModelInfo, ModelType, PromptMessage, ToolCall, ToolSpec
from dify_kernel.contracts.node import Delta, Node, NodeConfig, NodeContext, NodeResult
from dify_kernel.errors import DifyError
from dify_kernel.graph.pool import Selector, Template
from dify_kernel.graph.values import text
from dify_kernel.prompts import files_of

from dify_nodes_llm.call import WholeAnswer, ask, require_model
from dify_nodes_llm.config import MemoryConfig, ModelConfig, VisionConfig
from dify_nodes_llm.content import record_prompts
from dify_nodes_llm.extract_prompt import ask_for_call, ask_for_json, function
from dify_nodes_llm.memory import history_text
from dify_nodes_llm.messages import with_files
from dify_nodes_llm.parameters import Parameter, extract, find_json, json_schema, problems
from dify_nodes_llm.reasoning import without_thinking

__all__ = ["ExtractorConfig", "ParameterExtractorNode"]

FUNCTION_CALL = "function_call"
_CALLS = {ModelFeature.TOOL_CALL, ModelFeature.MULTI_TOOL_CALL}


class ExtractorConfig(NodeConfig, kw_only=True):
    """A text, the parameters to find in it, and the model that looks for them."""

    model: ModelConfig
    query: list[str]
    parameters: list[Parameter]
    instruction: str | None = None
    memory: MemoryConfig | None = None
    reasoning_mode: str | None = None
    vision: VisionConfig | None = None


class ParameterExtractorNode(Node):
    """Lets a model find typed values in a text."""

    type = "parameter-extractor"
    Config = ExtractorConfig
    config: ExtractorConfig

    def __init__(self, node_id: str, config: ExtractorConfig) -> None:
        super().__init__(node_id, config)
        self.instruction = Template(config.instruction or "")
        self.vision = config.vision or VisionConfig()

    def selectors(self) -> list[Selector]:
        """The text, the files, and what the instruction refers to."""
        found = [tuple(selector) for selector in (self.config.query, self.vision.selector) if selector]
        return found + self.instruction.selectors

    def problems(self) -> list[str]:
        """Parameters that cannot be, an unknown mode of the model or of reasoning."""
        found = self.config.model.problems() + problems(self.config.parameters)
        if (self.config.reasoning_mode or FUNCTION_CALL) not in (FUNCTION_CALL, "prompt"):
            found.append(f"The reasoning mode {self.config.reasoning_mode!r} is not function_call or prompt.")
        return found

    async def run(self, ctx: NodeContext) -> AsyncIterator[Delta]:
        """The values; only a model that cannot be asked fails the node."""
        model = self.config.model
        inputs: dict[str, Any] = {}
        process: dict[str, Any] = {}
        try:
            require_model(model, ctx)
            info = await ctx.ports.models.describe(model.provider, model.name, ModelType.LLM)
            tools = self._tools(info)
            value = ctx.get(self.config.query)
            query = text(value) if value is not None else ""
            inputs = self._inputs(query, ctx)
            messages = await self._messages(query, info, tools, ctx)
            process = self._process(messages, tools)
            answer = await ask(model, messages, ctx, tools=tools)
        except DifyError as exc:
            yield _failed(exc, inputs, process)
            return
        call = answer.tool_calls[0] if answer.tool_calls else None
        usage = msgspec.to_builtins(answer.usage)
        process |= {"usage": usage, "tool_call": _recorded(call), "llm_text": answer.text}
        yield NodeResult(inputs=inputs, process_data=process, outputs=self._outputs(answer), usage=answer.usage)

    def _tools(self, info: ModelInfo) -> list[ToolSpec]:
        """The function to call; none for a model that is to answer with JSON, or can do nothing else."""
        wanted = (self.config.reasoning_mode or FUNCTION_CALL) == FUNCTION_CALL and not self.config.model.completes
        return [function(json_schema(self.config.parameters))] if wanted and _CALLS & set(info.features) else []

    async def _messages(
        self, query: str, info: ModelInfo, tools: list[ToolSpec], ctx: NodeContext
    ) -> list[PromptMessage]:
        model, schema = self.config.model, json_schema(self.config.parameters)
        instruction = ctx.render(self.instruction)

        def asked(histories: str) -> list[PromptMessage]:
            if tools:
                return ask_for_call(query, instruction=instruction, histories=histories)
            return ask_for_json(query, schema, instruction=instruction, histories=histories, completes=model.completes)

        histories = await history_text(self.config.memory, ctx, info, model.parameters, asked(""))
        return await with_files(asked(histories), files_of(self.vision.selector, ctx), self.vision, info, ctx)

    def _inputs(self, query: str, ctx: NodeContext) -> dict[str, Any]:
        return {
            "query": query,
            "files": files_of(self.vision.selector, ctx),
            "parameters": [parameter.record() for parameter in self.config.parameters],
            "instruction": self.config.instruction,
        }

    def _process(self, messages: list[PromptMessage], tools: list[ToolSpec]) -> dict[str, Any]:
        return {
            "model_mode": self.config.model.mode,
            "prompts": record_prompts(messages),
            "usage": None,
            "function": msgspec.to_builtins(tools[0]) if tools else {},
            "tool_call": None,
            "model_provider": self.config.model.provider,
            "model_name": self.config.model.name,
        }

    def _outputs(self, answer: WholeAnswer) -> dict[str, Any]:
        """What a called function was given counts, else the text."""
        if answer.tool_calls:
            found = find_json(answer.tool_calls[0].arguments) or {}
        else:
            found = find_json(without_thinking(answer.text)) or None
        extracted = extract(self.config.parameters, found)
        return {
            "__is_success": 0 if extracted.reason else 1,
            "__reason": extracted.reason,
            "__usage": msgspec.to_builtins(answer.usage),
            **extracted.values,
        }


def _recorded(call: ToolCall | None) -> dict[str, Any] | None:
    if call is None:
        return None
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _failed(exc: DifyError, inputs: dict[str, Any], process: dict[str, Any]) -> NodeResult:
    """A failure; when the model was asked, its outputs say so."""
    asked = {"__is_success": 0, "__reason": "Failed to invoke model", "__error": str(exc)}
    return NodeResult.failed(exc, inputs=inputs, process_data=process, outputs=asked if process else {})
