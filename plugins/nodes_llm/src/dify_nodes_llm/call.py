"""One call of a model whose answer is wanted whole: nothing is streamed on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
from dify_kernel.contracts.model import LLMDelta, LLMRequest, PromptMessage, ToolCall, ToolSpec, Usage
from dify_kernel.contracts.node import NodeContext
from dify_kernel.errors import NodeFailed

from dify_nodes_llm.config import ModelConfig

__all__ = ["WholeAnswer", "ask", "close_stream", "require_model"]


class WholeAnswer(msgspec.Struct, kw_only=True):
    """What a model said; thoughts that the provider hands over apart are left out."""

    text: str = ""
    tool_calls: list[ToolCall] = []
    usage: Usage = msgspec.field(default_factory=Usage)
    finish_reason: str | None = None


async def ask(
    model: ModelConfig, messages: list[PromptMessage], ctx: NodeContext, *, tools: Sequence[ToolSpec] = ()
) -> WholeAnswer:
    """The whole answer to a prompt. Raises the Invoke… errors."""
    request = LLMRequest(
        model=model.name,
        messages=messages,
        parameters=model.parameters,
        tools=list(tools),
        stop=model.stop,
        mode="completion" if model.completes else "chat",
        user=ctx.run.user_id,
    )
    answer = WholeAnswer()
    said: list[str] = []
    calls: dict[int, dict[str, str]] = {}
    stream = ctx.ports.models.llm(model.provider, request)
    try:
        async for delta in stream:
            said.append(delta.text)
            for piece in delta.tool_calls:
                call = calls.setdefault(piece.index, {"id": "", "name": "", "arguments": ""})
                call["id"] = call["id"] or piece.id
                call["name"] = call["name"] or piece.name
                call["arguments"] += piece.arguments
            answer.usage = delta.usage or answer.usage
            answer.finish_reason = delta.finish_reason or answer.finish_reason
    finally:
        await close_stream(stream)
    answer.text = "".join(said)
    answer.tool_calls = [ToolCall(**calls[index]) for index in sorted(calls)]
    return answer


async def close_stream(stream: AsyncIterator[LLMDelta]) -> None:
    """End a call that may not have come to its end."""
    close: Any = getattr(stream, "aclose", None)
    if close is not None:
        await close()


def require_model(model: ModelConfig, ctx: NodeContext) -> None:
    """NodeFailed when no model is chosen."""
    if not model.name:
        raise NodeFailed(f"Model {model.name} not exist.", error_type="ModelNotExistError", node_id=ctx.node_id)
