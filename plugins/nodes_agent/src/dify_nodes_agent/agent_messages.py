"""What goes to the model before the first round: the conversation so far, the question, and what is attached to it."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection
from typing import Any, Literal

from dify_kernel.contracts.model import (
    AudioPart,
    Content,
    DocumentPart,
    ImagePart,
    ModelFeature,
    ModelInfo,
    PromptMessage,
    TextPart,
    VideoPart,
)
from dify_kernel.contracts.node import NodeContext
from dify_kernel.graph.values import File, FileType

from dify_nodes_agent.agent_config import AgentConfig, Job

__all__ = ["instruction", "question", "remembered"]

#: Turns that are read at most, and tokens for the history of a model whose context size is unknown.
MOST_TURNS = 500
UNKNOWN_CONTEXT_ROOM = 2000
_CONTEXT = ("{{#context#}}", "{#context#}")
_FEATURES = {
    FileType.IMAGE: ModelFeature.VISION,
    FileType.DOCUMENT: ModelFeature.DOCUMENT,
    FileType.AUDIO: ModelFeature.AUDIO,
    FileType.VIDEO: ModelFeature.VIDEO,
}
_PARTS: dict[FileType, type[AudioPart] | type[DocumentPart] | type[VideoPart]] = {
    FileType.DOCUMENT: DocumentPart,
    FileType.AUDIO: AudioPart,
    FileType.VIDEO: VideoPart,
}


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
    value = ctx.get(config.vision_selector) if config.vision_selector else None
    data = value.data if value is not None else None
    files = [item for item in (data if isinstance(data, list) else [data]) if isinstance(item, File)]
    settings = config.vision.configs if config.vision else None
    parts = await _parts(files, info.features, settings.detail if settings else None, ctx)
    return PromptMessage(role="user", content=[*parts, TextPart(text=job.query)] if parts else job.query)


async def _parts(
    files: list[File], features: Collection[ModelFeature], detail: str | None, ctx: NodeContext
) -> list[Content]:
    """The files that the model can take, loaded."""
    parts: list[Content] = []
    for file in files:
        if _FEATURES.get(file.type) not in features:
            continue
        data = base64.b64encode(await ctx.ports.files.load(file)).decode()
        mime, name = file.mime_type or "application/octet-stream", file.filename or ""
        if file.type is FileType.IMAGE:
            sharpness: Literal["low", "high"] = "low" if detail == "low" else "high"
            parts.append(ImagePart(base64_data=data, mime_type=mime, filename=name, detail=sharpness))
        else:
            parts.append(_PARTS[file.type](base64_data=data, mime_type=mime, filename=name))
    return parts


async def remembered(
    config: AgentConfig, job: Job, info: ModelInfo, ctx: NodeContext, *, beside: str
) -> list[PromptMessage]:
    """The turns before this one that fit `beside` the rest of the prompt, oldest first."""
    conversation_id = ctx.run.conversation_id
    if config.memory is None or not conversation_id:
        return []
    window = config.memory.window
    turns = min(window.size, MOST_TURNS) if window and window.enabled and window.size else MOST_TURNS
    if turns < 2:  # the turn that is being answered counts as one of the window
        return []
    history = await ctx.ports.memory.history(conversation_id, limit=turns - 1)
    return _fit(history, _room(info, job, beside))


def _tokens(text: str) -> int:
    """About how many tokens a text is, for any model: a token is about three bytes, seldom fewer."""
    return (len(text.encode("utf-8", "replace")) + 2) // 3


def _room(info: ModelInfo, job: Job, beside: str) -> int:
    if info.context_size <= 0:
        return UNKNOWN_CONTEXT_ROOM
    parameters, _ = job.model.parameters()
    wanted = parameters.get("max_tokens") or parameters.get("max_completion_tokens")
    answer = int(wanted) if isinstance(wanted, int | float) else 0
    return max(0, info.context_size - answer - _tokens(beside))


def _fit(history: list[PromptMessage], room: int) -> list[PromptMessage]:
    """The newest messages that fit, the first of them the user's."""
    start, used = len(history), 0
    for index in range(len(history) - 1, -1, -1):
        used += _tokens(history[index].text) + 4
        if used > room:
            break
        start = index
    while start < len(history) and history[start].role != "user":
        start += 1
    return history[start:]
