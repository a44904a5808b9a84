"""Gives a tool the content of the files among its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dify_kernel.contracts.ports import FilesPort
from dify_kernel.contracts.tool import FileContent
from dify_kernel.graph.values import File

__all__ = ["with_contents"]


async def with_contents(parameters: Mapping[str, Any], files: FilesPort) -> dict[str, Any]:
    """The parameters with a FileContent in place of each File; NotFound for a file that is gone."""
    return {name: await _loaded(value, files) for name, value in parameters.items()}


async def _loaded(value: Any, files: FilesPort) -> Any:
    if isinstance(value, File):
        return FileContent(
            data=await files.load(value),
            filename=value.filename or "file",
            mime_type=value.mime_type or "application/octet-stream",
        )
    if isinstance(value, list) and any(isinstance(item, File) for item in value):
        return [await _loaded(item, files) for item in value]
    return value
