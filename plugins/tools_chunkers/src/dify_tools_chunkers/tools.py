"""The chunkers; providers, tools, parameters and outputs have the names that pipelines use."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, ClassVar, Final

import msgspec
from dify_kernel.contracts.tool import (
    FileContent,
    ToolInfo,
    ToolMessage,
    ToolParameter,
    ToolProvider,
    VariableMessage,
)
from dify_kernel.errors import ToolError

from dify_tools_chunkers.cut import clean, cut
from dify_tools_chunkers.pairs import read_pairs

__all__ = ["GeneralChunker", "ParentChildChunker", "QaChunker"]

_DOCUMENT: Final = "full_doc"
_MODES: Final = ["paragraph", _DOCUMENT]


class NoCredentials(msgspec.Struct, frozen=True):
    """Nothing to fill in."""


def _parameter(name: str, description: str, kind: str = "string", **more: Any) -> ToolParameter:
    label = name.replace("_", " ").capitalize()
    return ToolParameter(name=name, type=kind, label=label, description=description, **more)


def _result(properties: dict[str, Any]) -> dict[str, Any]:
    result = {"type": "object", "description": "The chunks.", "properties": properties}
    return {"type": "object", "properties": {"result": result}}


_GENERAL: Final = ToolInfo(
    name="general_chunker",
    label="General Chunker",
    description="Cut a text into pieces at a delimiter, and by length.",
    parameters=[
        _parameter("input_variable", "The text you want to chunk.", required=True),
        _parameter("delimiter", "The delimiter of the chunks.", required=True),
        _parameter("max_chunk_length", "The maximum chunk length, in characters.", "number", required=True),
        _parameter("chunk_overlap_length", "How much a chunk may repeat of the one before it.", "number"),
        _parameter("replace_consecutive_spaces_newlines_tabs", "Make runs of blanks one.", "boolean"),
        _parameter("delete_all_urls_and_email_addresses", "Drop URLs and e-mail addresses.", "boolean"),
    ],
    output_schema=_result({"general_chunks": {"type": "array", "items": {"type": "string"}}}),
)
_PARENTS: Final = ToolInfo(
    name="parentchild_chunker",
    label="Parent-child Chunker",
    description="Cut a text into parents, and each parent into the children by which it is found.",
    parameters=[
        _parameter("input_text", "The text you want to chunk.", required=True),
        _parameter(
            "parent_mode",
            "Whether each piece is a parent, or the whole document is the one parent.",
            "select",
            required=True,
            options=_MODES,
        ),
        _parameter("separator", "Where parents are cut.", default="\n\n"),
        _parameter("max_length", "The maximum length of a parent, in characters.", "number", default=1024),
        _parameter("subchunk_separator", "Where children are cut.", default=". "),
        _parameter("subchunk_max_length", "The maximum length of a child, in characters.", "number", default=512),
        _parameter("remove_extra_spaces", "Make runs of blanks one.", "boolean", default=False),
        _parameter("remove_urls_emails", "Drop URLs and e-mail addresses.", "boolean", default=False),
    ],
    output_schema=_result(
        {"parent_mode": {"type": "string"}, "parent_child_chunks": {"type": "array", "items": {"type": "object"}}}
    ),
)
_PAIRS: Final = ToolInfo(
    name="qa_chunk",
    label="Q&A Processor",
    description="Read questions and answers from two columns of a CSV file with a head.",
    parameters=[
        _parameter("input_file", "The file you want to extract QA from.", "file", required=True),
        _parameter("question_column", "Column number for question; the first is 0.", "number", required=True),
        _parameter("answer_column", "Column number for answer; the first is 0.", "number", required=True),
    ],
    output_schema=_result({"qa_chunks": {"type": "array", "items": {"type": "object"}}}),
)


class _Chunker(ToolProvider):
    """One tool that gives the variable `result`; large texts are cut beside the event loop."""

    Credentials = NoCredentials
    info: ClassVar[ToolInfo]

    def tools(self) -> Sequence[ToolInfo]:
        """The one tool."""
        return (self.info,)

    async def invoke(self, tool: str, parameters: Mapping[str, Any], credentials: Any) -> AsyncIterator[ToolMessage]:
        """The chunks; ToolError names the parameter that is wrong."""
        if tool != self.info.name:
            raise ToolError(f"There is no chunker {tool!r}.", hint=f"There is {self.info.name}.", tool=tool)
        yield VariableMessage(name="result", value=await asyncio.to_thread(self.chunks, parameters))

    @abstractmethod
    def chunks(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """What the parameters ask for; reads nothing else."""


def _general(parameters: Mapping[str, Any]) -> dict[str, Any]:
    text = clean(
        _text(parameters, "input_variable"),
        spaces=bool(parameters.get("replace_consecutive_spaces_newlines_tabs")),
        addresses=bool(parameters.get("delete_all_urls_and_email_addresses")),
    )
    pieces = cut(
        text,
        delimiter=_text(parameters, "delimiter"),
        longest=_whole(parameters, "max_chunk_length", at_least=1),
        overlap=_whole(parameters, "chunk_overlap_length", 0),
    )
    return {"general_chunks": pieces}


def _parents(parameters: Mapping[str, Any]) -> dict[str, Any]:
    text = clean(
        _text(parameters, "input_text"),
        spaces=bool(parameters.get("remove_extra_spaces")),
        addresses=bool(parameters.get("remove_urls_emails")),
    )
    mode = _text(parameters, "parent_mode")
    if mode not in _MODES:
        raise ToolError(f"`parent_mode` is {mode!r}.", hint=f"Use {' or '.join(_MODES)}.", field="parent_mode")
    longest = _whole(parameters, "max_length", 1024, at_least=1)
    parents = (
        [text.strip()]
        if mode == _DOCUMENT
        else cut(text, delimiter=_text(parameters, "separator", "\n\n"), longest=longest)
    )
    inner, shortest = (
        _text(parameters, "subchunk_separator", ". "),
        _whole(parameters, "subchunk_max_length", 512, at_least=1),
    )
    chunks = [
        {"parent_content": parent, "child_contents": cut(parent, delimiter=inner, longest=shortest)}
        for parent in parents
        if parent
    ]
    return {"parent_mode": mode, "parent_child_chunks": chunks}


def _pairs(parameters: Mapping[str, Any]) -> dict[str, Any]:
    file = parameters.get("input_file")
    if not isinstance(file, FileContent):
        raise ToolError("`input_file` is missing.", hint="Give a CSV file.", field="input_file")
    return {"qa_chunks": read_pairs(file, _whole(parameters, "question_column"), _whole(parameters, "answer_column"))}


class GeneralChunker(_Chunker):
    """Cuts texts into pieces; reaches nothing else."""

    name = "general_chunker"
    label = "General Chunker"
    info = _GENERAL

    def chunks(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The pieces."""
        return _general(parameters)


class ParentChildChunker(_Chunker):
    """Cuts texts into parents with children; reaches nothing else."""

    name = "parentchild_chunker"
    label = "Parent-child Chunker"
    info = _PARENTS

    def chunks(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The parents with their children."""
        return _parents(parameters)


class QaChunker(_Chunker):
    """Reads questions with answers from CSV files; reaches nothing else."""

    name = "qa_chunk"
    label = "Q&A Processor"
    info = _PAIRS

    def chunks(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The questions with their answers."""
        return _pairs(parameters)


def _text(parameters: Mapping[str, Any], name: str, default: str | None = None) -> str:
    value = parameters.get(name, default)
    if not isinstance(value, str):
        raise ToolError(f"`{name}` is missing.", hint="Give it as a text.", field=name)
    return value


def _whole(parameters: Mapping[str, Any], name: str, default: int | None = None, *, at_least: int = 0) -> int:
    value = parameters.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value) or value < at_least:
        raise ToolError(f"`{name}` is {value!r}.", hint=f"Give a whole number, at least {at_least}.", field=name)
    return int(value)
