"""Files that a model made, and how a prompt is written into the run record."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

from dify_kernel.contracts.model import AudioPart, DocumentPart, ImagePart, PromptMessage, TextPart, VideoPart
from dify_kernel.contracts.node import NodeContext
from dify_kernel.graph.values import File, FileTransfer, FileType

__all__ = ["keep_file", "record_prompts"]

_TYPES = {ImagePart: FileType.IMAGE, AudioPart: FileType.AUDIO, VideoPart: FileType.VIDEO}


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
