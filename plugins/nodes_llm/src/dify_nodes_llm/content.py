"""Files as content of a message, and how a prompt is written into the run record."""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Literal

from dify_kernel.contracts.model import (
    AudioPart,
    Content,
    DocumentPart,
    ImagePart,
    ModelFeature,
    PromptMessage,
    TextPart,
    VideoPart,
)
from dify_kernel.contracts.node import NodeContext
from dify_kernel.contracts.ports import FilesPort
from dify_kernel.graph.values import File, FileTransfer, FileType

__all__ = ["file_parts", "files_of", "keep_file", "record_prompts"]

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
_TYPES = {ImagePart: FileType.IMAGE, AudioPart: FileType.AUDIO, VideoPart: FileType.VIDEO}


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


async def keep_file(part: ImagePart | AudioPart | VideoPart | DocumentPart, ctx: NodeContext) -> File:
    """A file that the model made as a value; bytes are saved, an address stays where it is."""
    kind = _TYPES.get(type(part), FileType.DOCUMENT)
    mime = part.mime_type or ("image/png" if kind is FileType.IMAGE else "application/octet-stream")
    name = part.filename or f"{kind.value}.{mime.rpartition('/')[2]}"
    if part.base64_data:
        return await ctx.ports.files.save(base64.b64decode(part.base64_data), filename=name, mime_type=mime)
    return File(
        type=kind,
        transfer_method=FileTransfer.REMOTE_URL,
        remote_url=part.url,
        url=part.url,
        filename=name,
        mime_type=mime,
    )


def record_prompts(messages: Iterable[PromptMessage]) -> list[dict[str, Any]]:
    """Role, text and files of each message; of a file only the ends of its data."""
    return [
        {"role": message.role, "text": message.text, "files": [_shortened(part) for part in _media(message)]}
        for message in messages
    ]


def _media(message: PromptMessage) -> list[Any]:
    parts = message.content if isinstance(message.content, list) else []
    return [part for part in parts if not isinstance(part, TextPart)]


def _shortened(part: ImagePart | AudioPart | VideoPart | DocumentPart) -> dict[str, Any]:
    data = part.data_url
    ends = f"{data[:10]}...[TRUNCATED]...{data[-10:]}"
    found = {"type": _TYPES.get(type(part), FileType.DOCUMENT).value, "data": ends}
    return {**found, "detail": part.detail} if isinstance(part, ImagePart) else found
