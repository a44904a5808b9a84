"""Collects what a tool says into the outputs of a node."""

from __future__ import annotations

import mimetypes
from typing import Any

from dify_kernel.contracts.node import Delta, RetrieverResources, TextDelta
from dify_kernel.contracts.ports import FilesPort
from dify_kernel.contracts.tool import (
    BlobMessage,
    FileMessage,
    JsonMessage,
    LinkMessage,
    ResourcesMessage,
    TextMessage,
    ToolMessage,
    VariableMessage,
)
from dify_kernel.errors import ToolError
from dify_kernel.graph.values import File, FileTransfer, FileType, Value, ValueType

__all__ = ["ToolOutputs"]


class ToolOutputs:
    """The outputs of one call, message by message."""

    def __init__(self, files: FilesPort) -> None:
        self._port = files
        self._text: list[str] = []
        self._json: list[Any] = []
        self._files: list[File] = []
        self._variables: dict[str, Any] = {}

    async def take(self, message: ToolMessage) -> Delta | None:
        """Keep one message; what streams of it, if anything does."""
        match message:
            case TextMessage(text=text):
                return self._say(text)
            case LinkMessage(url=url):
                return self._say(f"Link: {url}\n")
            case JsonMessage(data=data):
                self._json.append(data)
            case VariableMessage():
                return self._set(message)
            case BlobMessage():
                self._files.append(await self._keep(message))
            case FileMessage(file=file):
                return self._show(file)
            case ResourcesMessage(resources=resources):
                return RetrieverResources(resources)
        return None

    def all(self) -> dict[str, Any]:
        """`text`, `files`, `json` and the tool's variables."""
        return {
            "text": "".join(self._text),
            "files": Value(ValueType.ARRAY_FILE, self._files),
            "json": self._json or [{"data": []}],
            **self._variables,
        }

    def _say(self, text: str) -> TextDelta | None:
        self._text.append(text)
        return TextDelta(text) if text else None

    def _show(self, file: File) -> TextDelta | None:
        """A file of another run: pictures show by themselves, anything else gets a line in the text."""
        self._files.append(file)
        if file.type is FileType.IMAGE or file.transfer_method is not FileTransfer.TOOL_FILE:
            return None
        return self._say(f"File: {file.url or ''}\n")

    def _set(self, message: VariableMessage) -> TextDelta | None:
        if not message.stream:
            self._variables[message.name] = message.value
            return None
        if not isinstance(message.value, str):
            raise ToolError(f"The streamed variable {message.name} has a piece that is no text.", field=message.name)
        self._variables[message.name] = self._variables.get(message.name, "") + message.value
        return TextDelta(message.value, message.name)

    async def _keep(self, message: BlobMessage) -> File:
        name = message.filename or "file" + (mimetypes.guess_extension(message.mime_type) or "")
        return await self._port.save(message.data, filename=name, mime_type=message.mime_type)
