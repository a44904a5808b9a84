"""Translates tools and results of the Model Context Protocol. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Any

import msgspec
from dify_kernel.contracts.tool import (
    BlobMessage,
    JsonMessage,
    LinkMessage,
    TextMessage,
    ToolInfo,
    ToolMessage,
    VariableMessage,
)
from dify_kernel.errors import ToolError

from dify_host.tools.api_schema import SchemaReader, parameter_of
from dify_host.tools.errors import InvalidApiSchema
from dify_host.tools.mcp_client import McpTool

__all__ = ["result_messages", "tool_info"]


def tool_info(tool: McpTool) -> ToolInfo:
    """A server's tool as one of ours; a parameter whose schema cannot be followed takes any value."""
    reader = SchemaReader(tool.input_schema)
    try:
        schema = reader.expand(tool.input_schema)
    except InvalidApiSchema:
        properties = tool.input_schema.get("properties") or {}
        schema = {"properties": {name: {} for name in properties}, "required": tool.input_schema.get("required")}
    needed = schema.get("required") or []
    return ToolInfo(
        name=tool.name,
        label=tool.title or tool.name,
        description=tool.description or "",
        parameters=[
            parameter_of(name, item, required=name in needed) for name, item in (schema.get("properties") or {}).items()
        ],
        output_schema=tool.output_schema,
    )


def result_messages(tool: ToolInfo, result: dict[str, Any]) -> Iterator[ToolMessage]:
    """What a call gave; a text that is a JSON object becomes JSON. ToolError with the server's words when it failed.

    Structured content is variables when the tool has said what it looks like.
    """
    content = [item for item in result.get("content") or [] if isinstance(item, dict)]
    if result.get("isError"):
        said = "\n".join(str(item["text"]) for item in content if item.get("text"))
        raise ToolError(said or f"The tool {tool.name} failed without saying why.", tool=tool.name)
    for item in content:
        yield from _content(item)
    structured = result.get("structuredContent")
    if tool.output_schema and isinstance(structured, dict):
        for name, value in structured.items():
            yield VariableMessage(name=name, value=value)


def _content(item: dict[str, Any]) -> Iterator[ToolMessage]:
    kind = item.get("type")
    if kind == "text":
        yield from _text(str(item.get("text") or ""))
    elif kind in ("image", "audio"):
        yield _blob(item.get("data"), item.get("mimeType"), "")
    elif kind == "resource":
        resource = item.get("resource") or {}
        if "blob" in resource:
            yield _blob(resource["blob"], resource.get("mimeType"), str(resource.get("uri") or ""))
        else:
            yield TextMessage(str(resource.get("text") or ""))
    elif kind == "resource_link":
        yield LinkMessage(str(item.get("uri") or ""))


def _text(text: str) -> Iterator[ToolMessage]:
    try:
        data = msgspec.json.decode(text) if text.lstrip()[:1] in ("{", "[") else None
    except msgspec.DecodeError:
        data = None
    if isinstance(data, dict):
        yield JsonMessage(data)
    elif isinstance(data, list) and data and all(isinstance(part, dict) for part in data):
        yield from (JsonMessage(part) for part in data)
    else:
        yield TextMessage(text)


def _blob(data: Any, mime_type: Any, uri: str) -> BlobMessage:
    try:
        content = base64.b64decode(str(data or ""), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise ToolError(f"The MCP server sent a file that is no base64: {exc}.") from exc
    name = uri.rstrip("/").rpartition("/")[2]
    return BlobMessage(data=content, mime_type=str(mime_type or "application/octet-stream"), filename=name)
