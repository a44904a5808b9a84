"""Puts the prompt together: filled templates, history, question and files become messages."""

from __future__ import annotations

from typing import Any, cast

import msgspec
from dify_kernel.contracts.model import Content, ModelInfo, PromptMessage, Role, TextPart
from dify_kernel.contracts.node import NodeContext
from dify_kernel.errors import NodeFailed
from dify_kernel.graph.values import File
from dify_kernel.prompts import file_parts, fit, recall, room_for_history

from dify_nodes_llm.config import LLMConfig, VisionConfig
from dify_nodes_llm.memory import as_text, tokens_of
from dify_nodes_llm.prompt import Prompts

__all__ = ["build_messages", "with_files"]


async def build_messages(
    config: LLMConfig,
    prompts: Prompts,
    ctx: NodeContext,
    *,
    info: ModelInfo,
    parameters: dict[str, Any],
    context: str,
    files: list[File],
) -> list[PromptMessage]:
    """The messages to send; NodeFailed when nothing is left to say. `files` go in front of the last user message."""
    build = _chat if isinstance(config.prompt_template, list) else _completion
    messages = await build(config, prompts, ctx, info, parameters, context)
    messages = await with_files(messages, files, config.vision, info, ctx)
    if not messages:
        raise NodeFailed(
            "No prompt found in the LLM configuration.",
            error_type="NoPromptFoundError",
            hint="Write a prompt, or check that its variables are not empty.",
            node_id=ctx.node_id,
        )
    return messages


async def with_files(
    messages: list[PromptMessage], files: list[File], vision: VisionConfig | None, info: ModelInfo, ctx: NodeContext
) -> list[PromptMessage]:
    """The messages with files in front of the last one if it is the user's, else in one of their own."""
    seen = await file_parts(files, info.features, vision.detail if vision else None, ctx.ports.files)
    if not seen:
        return messages
    if not messages or messages[-1].role != "user":
        return [*messages, PromptMessage(role="user", content=seen)]
    return [*messages[:-1], msgspec.structs.replace(messages[-1], content=[*seen, *_parts(messages[-1])])]


async def _chat(
    config: LLMConfig,
    prompts: Prompts,
    ctx: NodeContext,
    info: ModelInfo,
    parameters: dict[str, Any],
    context: str,
) -> list[PromptMessage]:
    messages: list[PromptMessage] = []
    for item, filled in prompts.fill(ctx, context):
        messages += await _message(item.role, filled.text, filled.files, config, info, ctx)
    if config.memory is not None:
        query = prompts.fill_query(ctx)
        asked = await _message("user", query.text, query.files, config, info, ctx)
        history = await recall(config.memory.turns, ctx)
        messages += fit(history, room_for_history(info, parameters, tokens_of(messages + asked)))
        messages += asked
    return messages


async def _message(
    role: str, text: str, files: list[File], config: LLMConfig, info: ModelInfo, ctx: NodeContext
) -> list[PromptMessage]:
    """The text, then the files that it referred to in a message of their own; nothing for nothing."""
    speaker = cast(Role, role)
    detail = config.vision.detail if config.vision else None
    parts = await file_parts(files, info.features, detail, ctx.ports.files) if files else []
    contents: list[str | list[Content]] = [text] if text else []
    contents += [parts] if parts else []
    return [PromptMessage(role=speaker, content=content) for content in contents]


async def _completion(
    config: LLMConfig,
    prompts: Prompts,
    ctx: NodeContext,
    info: ModelInfo,
    parameters: dict[str, Any],
    context: str,
) -> list[PromptMessage]:
    text = "".join(filled.text for _, filled in prompts.fill(ctx, context))
    if config.memory is not None:
        query = prompts.fill_query(ctx).text
        room = room_for_history(info, parameters, tokens_of([PromptMessage(role="user", content=text + query)]))
        history = fit(await recall(config.memory.turns, ctx), room)
        told = as_text(history, config.memory.role_prefix)
        text = text.replace("#sys.query#", query) if query else text
        text = text.replace("#histories#", told) if "#histories#" in text else f"{told}\n{text}"
    return [PromptMessage(role="user", content=text)] if text.strip() else []


def _parts(message: PromptMessage) -> list[Content]:
    return message.content if isinstance(message.content, list) else [TextPart(text=message.content)]
