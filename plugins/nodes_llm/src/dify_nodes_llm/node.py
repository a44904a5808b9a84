"""The `llm` node."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
from dify_kernel.contracts.model import LLMDelta, LLMRequest, ModelFeature, ModelInfo, ModelType, PromptMessage, Usage
from dify_kernel.contracts.node import Delta, Node, NodeContext, NodeResult, RetrieverResources, TextDelta
from dify_kernel.errors import DifyError, NodeFailed
from dify_kernel.graph.pool import Selector
from dify_kernel.graph.values import File, Value, ValueType
from dify_kernel.prompts import files_of

from dify_nodes_llm.call import close_stream, require_model
from dify_nodes_llm.config import LLMConfig
from dify_nodes_llm.content import keep_file, record_prompts
from dify_nodes_llm.context import read_context
from dify_nodes_llm.messages import build_messages
from dify_nodes_llm.prompt import Prompts
from dify_nodes_llm.reasoning import Separated, Tagged, Voice
from dify_nodes_llm.structured import json_parameters, parse_structured, with_instruction

__all__ = ["LLMNode"]


class _Prepared(msgspec.Struct, frozen=True):
    request: LLMRequest
    prompts: list[dict[str, Any]]
    resources: RetrieverResources | None


class _Answer(msgspec.Struct):
    """What has arrived so far."""

    text: list[str] = []
    reasoning: list[str] = []
    files: list[File] = []
    usage: Usage = msgspec.field(default_factory=Usage)
    finish_reason: str | None = None

    def take(self, text: str, reasoning: str) -> list[TextDelta]:
        """Keep a piece; the deltas that show it."""
        shown = []
        if text:
            self.text.append(text)
            shown.append(TextDelta(text))
        if reasoning:
            self.reasoning.append(reasoning)
            shown.append(TextDelta(reasoning, "reasoning_content"))
        return shown


class LLMNode(Node):
    """Sends a prompt to a model and streams its answer."""

    type = "llm"
    Config = LLMConfig
    retryable = True
    config: LLMConfig

    def __init__(self, node_id: str, config: LLMConfig) -> None:
        super().__init__(node_id, config)
        self.prompts = Prompts(config)
        self.parameters = config.model.parameters

    def selectors(self) -> list[Selector]:
        """The variables of the prompt, the context and the files."""
        given = [self.config.context_selector, self.config.vision_selector]
        return self.prompts.selectors + [tuple(selector) for selector in given if selector]

    def problems(self) -> list[str]:
        """An unknown mode, role or reasoning format."""
        found = self.config.model.problems()
        for item in self.config.prompts:
            if item.role not in ("system", "user", "assistant"):
                found.append(f"The prompt role {item.role!r} is not system, user or assistant.")
        if (self.config.reasoning_format or "tagged") not in ("tagged", "separated"):
            found.append(f"The reasoning format {self.config.reasoning_format!r} is not tagged or separated.")
        return found

    async def run(self, ctx: NodeContext) -> AsyncIterator[Delta]:
        """Citations, the answer piece by piece, then the result; a failed one keeps the inputs."""
        inputs: dict[str, Any] = {}
        answer = _Answer()
        voice: Voice = Separated() if self.config.reasoning_format == "separated" else Tagged()
        try:
            prepared = await self._prepare(ctx, inputs)
            if prepared.resources is not None:
                yield prepared.resources
            stream = ctx.ports.models.llm(self.config.model.provider, prepared.request)
            try:
                async for delta in stream:
                    if delta.text or delta.reasoning:
                        for piece in answer.take(*voice.feed(delta.text, delta.reasoning)):
                            yield piece
                    if delta.files:
                        for piece in answer.take(*voice.feed(await _keep(delta, answer, ctx), "")):
                            yield piece
                    answer.usage = delta.usage or answer.usage
                    answer.finish_reason = delta.finish_reason or answer.finish_reason
            finally:
                await close_stream(stream)
            for piece in answer.take(*voice.finish()):
                yield piece
            result = self._result(inputs, prepared, answer)
        except DifyError as exc:
            result = NodeResult.failed(exc, inputs=inputs)
        yield result

    async def _prepare(self, ctx: NodeContext, inputs: dict[str, Any]) -> _Prepared:
        """The request; `inputs` is filled on the way, so that a failure keeps what was known."""
        config, model = self.config, self.config.model
        require_model(model, ctx)
        if config.structured and not _schema(config):
            raise NodeFailed(
                "Please provide a valid structured output schema.", error_type="LLMNodeError", node_id=self.id
            )
        files = files_of(config.vision_selector, ctx)
        if files:
            inputs["#files#"] = files
        context = read_context(config.context_selector, ctx)
        if context.text:
            inputs["#context#"] = context.text
        if context.files:
            inputs["#context_files#"] = context.files
        info = await ctx.ports.models.describe(model.provider, model.name, ModelType.LLM)
        seen = [*(context.files if config.vision_selector else []), *files]
        messages = await build_messages(
            config, self.prompts, ctx, info=info, parameters=self.parameters, context=context.text, files=seen
        )
        return _Prepared(self._request(messages, info, ctx), record_prompts(messages), context.resources)

    def _request(self, messages: list[PromptMessage], info: ModelInfo, ctx: NodeContext) -> LLMRequest:
        schema = _schema(self.config) if self.config.structured else None
        parameters = dict(self.parameters)
        if schema and ModelFeature.STRUCTURED_OUTPUT not in info.features:
            messages, parameters, schema = with_instruction(messages, schema), json_parameters(parameters, info), None
        return LLMRequest(
            model=self.config.model.name,
            messages=messages,
            parameters=parameters,
            stop=self.config.model.stop,
            json_schema=schema,
            mode="completion" if self.config.model.completes else "chat",
            user=ctx.run.user_id,
        )

    def _result(self, inputs: dict[str, Any], prepared: _Prepared, answer: _Answer) -> NodeResult:
        text, usage = "".join(answer.text), msgspec.to_builtins(answer.usage)
        outputs: dict[str, Any] = {
            "text": text,
            "reasoning_content": "".join(answer.reasoning),
            "usage": usage,
            "finish_reason": answer.finish_reason,
        }
        if self.config.structured:
            outputs["structured_output"] = parse_structured(text)
        if answer.files:
            outputs["files"] = Value(ValueType.ARRAY_FILE, answer.files)
        process_data = {
            "model_mode": self.config.model.mode,
            "prompts": prepared.prompts,
            "usage": usage,
            "finish_reason": answer.finish_reason,
            "model_provider": self.config.model.provider,
            "model_name": self.config.model.name,
        }
        return NodeResult(inputs=inputs, process_data=process_data, outputs=outputs, usage=answer.usage)


def _schema(config: LLMConfig) -> dict[str, Any] | None:
    schema = (config.structured_output or {}).get("schema")
    return schema if isinstance(schema, dict) and schema else None


async def _keep(delta: LLMDelta, answer: _Answer, ctx: NodeContext) -> str:
    """Keep the files of a delta; the text that shows the pictures among them."""
    kept = [await keep_file(part, ctx) for part in delta.files]
    answer.files += kept
    return "".join(f"![]({file.url or ''})" for file in kept if file.type == "image")
