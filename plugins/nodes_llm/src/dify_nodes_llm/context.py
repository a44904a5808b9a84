"""The context variable: what `{{#context#}}` stands for, and the sources to cite."""

from __future__ import annotations

from typing import Any

import msgspec
from dify_kernel.contracts.node import NodeContext, RetrieverResources
from dify_kernel.errors import NodeFailed
from dify_kernel.graph.values import File, as_file, plain

__all__ = ["FoundContext", "read_context"]


class FoundContext(msgspec.Struct, frozen=True):
    """The text, its citations (None when the variable is no list), and the files of its pieces."""

    text: str = ""
    resources: RetrieverResources | None = None
    files: list[File] = []


def read_context(selector: list[str], ctx: NodeContext) -> FoundContext:
    """A string whole, a list line by line, its objects by their `content`; NodeFailed for an object without one."""
    value = ctx.get(selector) if selector else None
    if value is None or value.data is None:
        return FoundContext()
    if isinstance(value.data, str):
        return FoundContext(value.data)
    if not isinstance(value.data, list):
        return FoundContext()
    lines = [_line(item, ctx) for item in value.data]
    files = [file for item in value.data if isinstance(item, dict) for file in _files(item)]
    return FoundContext("\n".join(lines).strip(), RetrieverResources.of(value.data), files)


def _line(item: Any, ctx: NodeContext) -> str:
    if isinstance(item, dict):
        if "content" not in item:
            raise NodeFailed(
                f"Invalid context structure: {plain(item)}",
                error_type="InvalidContextStructureError",
                hint="Every object of the context needs a `content`.",
                node_id=ctx.node_id,
            )
        return str(item["content"])
    return str(plain(item))


def _files(item: dict[str, Any]) -> list[File]:
    found = item.get("files")
    entries = found if isinstance(found, list) else []
    return [file if isinstance(file, File) else as_file(file) for file in entries if isinstance(file, File | dict)]
