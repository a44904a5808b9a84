"""Reads what a chunker made: pieces of text, questions with answers, or parents with children. Pure."""

from __future__ import annotations

from typing import Any, Final

from dify_kernel.contracts.ports import IndexChunk
from dify_kernel.errors import NodeFailed
from dify_kernel.graph.values import File, ValueType, infer

__all__ = ["STRUCTURES", "preview", "read_chunks"]

TEXT, QA, PARENTS = "text_model", "qa_model", "hierarchical_model"
#: The structures, and the key under which a chunker's object holds its pieces.
STRUCTURES: Final = {TEXT: "general_chunks", QA: "qa_chunks", PARENTS: "parent_child_chunks"}


def read_chunks(structure: str, data: Any) -> list[IndexChunk]:
    """The pieces of that structure, blank ones left out; NodeFailed when the data has another form.

    A list of pieces will do in place of the object that holds it.
    """
    if structure not in STRUCTURES:
        raise _failed(f"The chunk structure {structure!r} is not one of {', '.join(STRUCTURES)}.")
    key = STRUCTURES[structure]
    items = data.get(key) if isinstance(data, dict) else data
    if not isinstance(items, list):
        raise _failed(f"The chunks of {structure} must be a list, or an object with the list {key!r}.")
    read = {TEXT: _text, QA: _pair, PARENTS: _parent}[structure]
    chunks = [read(item, number) for number, item in enumerate(items, 1)]
    return [chunk for chunk in chunks if chunk.content.strip()]


def preview(structure: str, data: Any, chunks: list[IndexChunk]) -> dict[str, Any]:
    """What a debug run shows in place of indexing."""
    shown: dict[str, Any] = {"chunk_structure": structure, "total_segments": len(chunks)}
    if structure == QA:
        return shown | {"qa_preview": [{"question": item.content, "answer": item.answer} for item in chunks]}
    if structure == TEXT:
        return shown | {"preview": [{"content": item.content} for item in chunks]}
    mode = data.get("parent_mode") if isinstance(data, dict) else None
    parents = [{"content": item.content, "child_chunks": item.children} for item in chunks]
    return shown | {"parent_mode": mode or "paragraph", "preview": parents}


def _text(item: Any, number: int) -> IndexChunk:
    if isinstance(item, str):
        return IndexChunk(content=item)
    fields = _fields(item, number)
    return IndexChunk(content=_required(fields, "content", number), files=_files(fields))


def _pair(item: Any, number: int) -> IndexChunk:
    fields = _fields(item, number)
    return IndexChunk(content=_required(fields, "question", number), answer=_required(fields, "answer", number))


def _parent(item: Any, number: int) -> IndexChunk:
    fields = _fields(item, number)
    children = fields.get("child_contents") or []
    if not isinstance(children, list) or not all(isinstance(child, str) for child in children):
        raise _failed(f"Chunk {number}: child_contents must be a list of texts.")
    content = _required(fields, "parent_content", number)
    return IndexChunk(content=content, children=[child for child in children if child.strip()], files=_files(fields))


def _fields(item: Any, number: int) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise _failed(f"Chunk {number} is {type(item).__name__}, not an object.")
    return item


def _required(fields: dict[str, Any], name: str, number: int) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise _failed(f"Chunk {number} has no text {name!r}.")
    return value


def _files(fields: dict[str, Any]) -> list[File]:
    """The files of a piece; inside an object they are mappings."""
    values = [infer(item) for item in fields.get("files") or []]
    return [value.data for value in values if value.type is ValueType.FILE]


def _failed(message: str) -> NodeFailed:
    return NodeFailed(message, error_type="KnowledgeIndexNodeError")
