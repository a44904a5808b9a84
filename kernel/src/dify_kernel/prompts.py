"""What a prompt carries beside its text: as much of the conversation as fits, and files that the model can take."""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal

from dify_kernel.contracts.model import (
    AudioPart,
    Content,
    DocumentPart,
    ImagePart,
    ModelFeature,
    ModelInfo,
    PromptMessage,
    VideoPart,
)
from dify_kernel.contracts.node import NodeContext
from dify_kernel.contracts.ports import FilesPort
from dify_kernel.graph.values import File, FileType

__all__ = ["MOST_TURNS", "estimate_tokens", "file_parts", "files_of", "fit", "recall", "room_for_history"]

#: Turns that are read at most, and tokens for the history of a model whose context size is unknown.
MOST_TURNS = 500
UNKNOWN_CONTEXT_ROOM = 2000

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


async def recall(window: int | None, ctx: NodeContext) -> list[PromptMessage]:
    """The turns before this one, oldest first; nothing outside a conversation.

    The turn that is being answered counts as one of the window; without a window there are `MOST_TURNS`.
    """
    limit = min(window or MOST_TURNS, MOST_TURNS) - 1
    if not ctx.run.conversation_id or limit < 1:
        return []
    return await ctx.ports.memory.history(ctx.run.conversation_id, limit=limit)


def estimate_tokens(text: str) -> int:
    """About how many tokens a text is, for any model: a token is about three bytes, seldom fewer."""
    return (len(text.encode("utf-8", "replace")) + 2) // 3


def room_for_history(info: ModelInfo, parameters: Mapping[str, Any], used: int) -> int:
    """The tokens that are left beside those `used` by the rest of the prompt and the longest answer."""
    if info.context_size <= 0:
        return UNKNOWN_CONTEXT_ROOM
    wanted = parameters.get("max_tokens") or parameters.get("max_completion_tokens")
    answer = int(wanted) if isinstance(wanted, int | float) else 0
    return max(0, info.context_size - answer - used)


def fit(history: list[PromptMessage], room: int) -> list[PromptMessage]:
    """The newest messages that fit, the first of them the user's."""
    start, used = len(history), 0
    for index in range(len(history) - 1, -1, -1):
        used += estimate_tokens(history[index].text) + 4
        if used > room:
            break
        start = index
    while start < len(history) and history[start].role != "user":
        start += 1
    return history[start:]


def files_of(selector: Sequence[str], ctx: NodeContext) -> list[File]:
    """The files of a variable, one or a list; none when it is missing or something else."""
    value = ctx.get(selector) if selector else None
    data = value.data if value is not None else None
    return [item for item in (data if isinstance(data, list) else [data]) if isinstance(item, File)]


async def file_parts(
    files: Iterable[File], features: Collection[ModelFeature], detail: str | None, port: FilesPort
) -> list[Content]:
    """The files that the model can take, loaded; what it has no feature for is left out without being loaded."""
    parts: list[Content] = []
    for file in files:
        if _FEATURES.get(file.type) not in features:
            continue
        data = base64.b64encode(await port.load(file)).decode()
        mime = file.mime_type or "application/octet-stream"
        name = file.filename or ""
        if file.type is FileType.IMAGE:
            sharpness: Literal["low", "high"] = "low" if detail == "low" else "high"
            parts.append(ImagePart(base64_data=data, mime_type=mime, filename=name, detail=sharpness))
        else:
            parts.append(_PARTS[file.type](base64_data=data, mime_type=mime, filename=name))
    return parts
