"""What goes to the model before the first round: the conversation so far, the question, and what is attached to it."""

from __future__ import annotations

import json
from typing import Any

from dify_kernel.contracts.model import ModelInfo, PromptMessage, TextPart
from dify_kernel.contracts.node import NodeContext
from dify_kernel.prompts import estimate_tokens, file_parts, files_of, fit, recall, room_for_history

from dify_nodes_agent.agent_config import AgentConfig, Job

__all__ = ["instruction", "question", "remembered"]

_CONTEXT = ("{{#context#}}", "{#context#}")


def instruction(job: Job) -> str:
    """The builder's instruction with the context in its place, or behind it where it has none."""
    pieces = job.context if isinstance(job.context, list) else [job.context] if job.context else []
    context = "\n".join(_context_text(piece) for piece in pieces)
    text = job.instruction
    for mark in _CONTEXT:
        if mark in text:
            return text.replace(mark, context)
    return f"{text}\n\n<context>\n{context}\n</context>".strip() if context else text


def _context_text(piece: Any) -> str:
    if isinstance(piece, dict) and isinstance(piece.get("content"), str):
        return str(piece["content"])
    return piece if isinstance(piece, str) else json.dumps(piece, ensure_ascii=False, default=str)


async def question(config: AgentConfig, job: Job, info: ModelInfo, ctx: NodeContext) -> PromptMessage:
    """The user's message, the files that the model can look at in front of the text."""
    files = files_of(config.vision_selector, ctx)
    settings = config.vision.configs if config.vision else None
    parts = await file_parts(files, info.features, settings.detail if settings else None, ctx.ports.files)
    return PromptMessage(role="user", content=[*parts, TextPart(text=job.query)] if parts else job.query)


async def remembered(
    config: AgentConfig, job: Job, info: ModelInfo, ctx: NodeContext, *, beside: str
) -> list[PromptMessage]:
    """The turns before this one that fit `beside` the rest of the prompt, oldest first."""
    if config.memory is None:
        return []
    parameters, _ = job.model.parameters()
    room = room_for_history(info, parameters, estimate_tokens(beside))
    return fit(await recall(config.memory.turns, ctx), room)
