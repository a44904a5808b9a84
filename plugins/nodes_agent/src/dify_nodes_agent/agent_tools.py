"""The tools of an agent: how the model is told about them, and what a call of one gives."""

from __future__ import annotations

import json
import mimetypes
import re
from collections.abc import AsyncIterator, Sequence
from hashlib import blake2b
from typing import Any

import msgspec
from dify_kernel.contracts.model import ToolSpec
from dify_kernel.contracts.node import NodeContext, RetrieverResources
from dify_kernel.contracts.ports import Retrieval
from dify_kernel.contracts.tool import (
    BlobMessage,
    FileMessage,
    JsonMessage,
    LinkMessage,
    ResourcesMessage,
    TextMessage,
    ToolInfo,
    ToolMessage,
    ToolParameter,
    VariableMessage,
)
from dify_kernel.errors import DifyError, NodeFailed, PlatformUnavailable
from dify_kernel.graph.values import File

from dify_nodes_agent.agent_config import ToolChoice

__all__ = ["Call", "Observation", "Tool", "Toolbox"]

#: Knowledge bases are tools of this type: their settings are a `Retrieval`, the model gives the question.
KNOWLEDGE = "dataset-retrieval"
_QUERY = ToolParameter(name="query", required=True, description="What to look for, as a full sentence or question.")
_JSON_TYPES = {"number": "number", "boolean": "boolean", "checkbox": "boolean", "object": "object", "array": "array"}
#: What no model can fill in.
_NOT_FOR_MODELS = frozenset(("file", "files", "system-files", "app-selector", "model-selector"))
_BAD_NAME = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST_NAME = 64


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A call that the model asks for. `problem` says why its arguments cannot be read."""

    id: str
    name: str
    arguments: dict[str, Any] = {}
    problem: str = ""


class Observation(msgspec.Struct, kw_only=True):
    """What a call gave: `text` is what the model reads."""

    text: str = ""
    error: str = ""
    files: list[File] = []
    json: list[Any] = []
    resources: list[dict[str, Any]] = []
    parameters: dict[str, Any] = {}


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """One tool as this agent uses it. `fixed` are the parameters that the model has no say in."""

    choice: ToolChoice
    spec: ToolSpec
    label: str
    fixed: dict[str, Any] = {}
    takes: frozenset[str] = frozenset()


class Toolbox:
    """The tools by the names that the model knows them by."""

    def __init__(self, tools: Sequence[Tool]) -> None:
        self._tools = {tool.spec.name: tool for tool in tools}
        self._calls = 0

    @classmethod
    async def open(cls, choices: Sequence[ToolChoice], ctx: NodeContext) -> Toolbox:
        """Look all of them up; NodeFailed names every one that is not there."""
        tools: list[Tool] = []
        missing: list[str] = []
        for choice in choices:
            try:
                info = await _describe(choice, ctx)
            except PlatformUnavailable:
                raise
            except DifyError as exc:
                missing.append(f"{choice.place} ({exc.message})")
                continue
            tools.append(_tool(choice, info, {tool.spec.name for tool in tools}))
        if missing:
            raise NodeFailed(
                f"Tools of the agent cannot be used: {', '.join(missing)}.",
                error_type="ToolProviderNotFoundError",
                hint="Install or set up what offers them, or take them off the agent's list.",
                node_id=ctx.node_id,
            )
        return cls(tools)

    @property
    def specs(self) -> list[ToolSpec]:
        """What a model is offered."""
        return [tool.spec for tool in self._tools.values()]

    def provider(self, name: str) -> str:
        """Whose tool it is; "" for one that is not there."""
        tool = self._tools.get(name)
        return tool.choice.provider_name if tool else ""

    def label(self, name: str) -> str:
        """How people know the tool."""
        tool = self._tools.get(name)
        return tool.label if tool else name

    async def call(self, call: Call, ctx: NodeContext) -> Observation:
        """Call one; whatever goes wrong is told to the model, which may try something else."""
        tool = self._tools.get(call.name)
        if tool is None:
            known = ", ".join(self._tools) or "none"
            return _failed(Observation(parameters=call.arguments), f"there is no tool {call.name}; there are: {known}")
        seen = Observation(parameters={**call.arguments, **tool.fixed})
        if call.problem:
            return _failed(seen, call.problem)
        seen.parameters = {name: value for name, value in seen.parameters.items() if name in tool.takes}
        try:
            if tool.choice.type == KNOWLEDGE:
                await _search(tool, seen, ctx)
            else:
                self._calls += 1
                await _gather(_invoke(tool, seen.parameters, self._calls, ctx), seen, ctx)
        except PlatformUnavailable:
            raise  # the tool has not failed, and the model can do nothing about it
        except DifyError as exc:
            return _failed(seen, f"the tool {call.name} failed: {exc}")
        return seen


# -- what the model is told ----------------------------------------------------------------------------------------


async def _describe(choice: ToolChoice, ctx: NodeContext) -> ToolInfo:
    if choice.type == KNOWLEDGE:
        description = "Searches the knowledge of this app for passages that help to answer."
        return ToolInfo(name=choice.tool_name, label="Knowledge", description=description, parameters=[_QUERY])
    return await ctx.ports.tools.describe(
        choice.type, choice.provider_name, choice.tool_name, credential_id=choice.credential_id
    )


def _tool(choice: ToolChoice, info: ToolInfo, taken: set[str]) -> Tool:
    model_fills = {item.name for item in info.parameters if item.form == "llm"}
    settings = {} if choice.type == KNOWLEDGE else choice.configured()
    fixed = {name: value for name, value in settings.items() if name not in model_fills} | choice.manual()
    asked = [
        item
        for item in info.parameters
        if item.form == "llm" and item.name not in fixed and item.type not in _NOT_FOR_MODELS
    ]
    schema: dict[str, Any] = {"type": "object", "properties": {item.name: _schema(item) for item in asked}}
    required = [item.name for item in asked if item.required]
    return Tool(
        choice=choice,
        spec=ToolSpec(
            name=_name(choice.tool_name, taken),
            description=choice.description or info.description or info.label or info.name,
            parameters={**schema, "required": required},
        ),
        label=choice.tool_label or info.label or choice.tool_name,
        fixed=fixed,
        takes=frozenset({item.name for item in info.parameters} | fixed.keys()),
    )


def _schema(parameter: ToolParameter) -> dict[str, Any]:
    if parameter.json_schema:
        return {"description": parameter.description, **parameter.json_schema}
    schema: dict[str, Any] = {"description": parameter.description or parameter.label}
    if parameter.type != "any":
        schema["type"] = _JSON_TYPES.get(parameter.type, "string")
    if schema.get("type") == "array":
        schema["items"] = {}
    if parameter.options:
        schema["enum"] = list(parameter.options)
    return schema


def _name(wanted: str, taken: set[str]) -> str:
    """A name as models take them; two tools of one name are told apart by a number."""
    plain = _BAD_NAME.sub("_", wanted)[:_LONGEST_NAME] or "tool"
    name, number = plain, 1
    while name in taken:
        number += 1
        name = f"{plain[: _LONGEST_NAME - 4]}_{number}"
    return name


# -- what a call gives ---------------------------------------------------------------------------------------------


def _failed(seen: Observation, error: str) -> Observation:
    seen.error, seen.text = error, f"Error: {error}"
    return seen


async def _search(tool: Tool, seen: Observation, ctx: NodeContext) -> None:
    wanted = {**tool.choice.configured(), "query": str(seen.parameters.get("query") or "")}
    try:
        request = msgspec.convert(wanted, Retrieval, strict=False)
    except msgspec.ValidationError as exc:
        raise NodeFailed(f"The settings of the knowledge cannot be read: {exc}.", node_id=ctx.node_id) from exc
    pieces = await ctx.ports.knowledge.retrieve(request)
    seen.text = "\n".join(str(piece.get("content") or "") for piece in pieces) or "Nothing was found."
    seen.resources = RetrieverResources.of(pieces).resources


def _invoke(tool: Tool, parameters: dict[str, Any], number: int, ctx: NodeContext) -> AsyncIterator[Any]:
    choice = tool.choice
    return ctx.ports.tools.invoke(
        choice.type,
        choice.provider_name,
        choice.tool_name,
        parameters,
        credential_id=choice.credential_id,
        key=_key(tool, parameters, number, ctx),
    )


def _key(tool: Tool, parameters: dict[str, Any], number: int, ctx: NodeContext) -> str:
    """The key of the n-th call: the same when the node runs again, but not when the model then asks something else."""
    asked = json.dumps([tool.choice.place, parameters], sort_keys=True, default=str)
    return f"{ctx.key}:{number}:{blake2b(asked.encode(), digest_size=8).hexdigest()}"


async def _gather(messages: AsyncIterator[ToolMessage], seen: Observation, ctx: NodeContext) -> None:
    """Everything that a tool says, as one text and what comes with it."""
    parts: list[str] = []
    variables: dict[str, Any] = {}
    async for message in messages:
        match message:
            case TextMessage(text=text):
                parts.append(text)
            case LinkMessage(url=url):
                parts.append(f"Link for the user: {url}\n")
            case JsonMessage(data=data):
                seen.json.append(data)
                parts.append(json.dumps(data, ensure_ascii=False, default=str))
            case VariableMessage():
                before = variables.get(message.name)
                joined = message.stream and isinstance(before, str) and isinstance(message.value, str)
                variables[message.name] = f"{before}{message.value}" if joined else message.value
            case BlobMessage():
                name = message.filename or "file" + (mimetypes.guess_extension(message.mime_type) or "")
                file = await ctx.ports.files.save(message.data, filename=name, mime_type=message.mime_type)
                parts.append(_shown(file, seen))
            case FileMessage(file=file):
                parts.append(_shown(file, seen))
            case ResourcesMessage(resources=resources):
                seen.resources += resources
    if variables:
        parts.append(json.dumps(variables, ensure_ascii=False, default=str))
    seen.text = "".join(parts) or "The tool gave nothing back."


def _shown(file: File, seen: Observation) -> str:
    """Keep a file; the model cannot look at it, and is told so."""
    seen.files.append(file)
    kind = "picture" if file.type == "image" else "file"
    return f"The user has been given a {kind}, {file.filename or 'without a name'}; do not make it again.\n"
