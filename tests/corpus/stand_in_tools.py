"""A plugin of the tests: a family of tools for every provider that published apps name and nobody has installed.

A tool answers with what it was called with, as text, as JSON and in each variable of its output schema, and with a
picture. That is enough to see what a graph makes of an answer, and nothing about the service that it stands for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import yaml
from dify_host.models.pool import provider_name
from dify_kernel.contracts.tool import (
    PARAMETER_TYPES,
    BlobMessage,
    JsonMessage,
    TextMessage,
    ToolInfo,
    ToolMessage,
    ToolParameter,
    ToolProvider,
    VariableMessage,
)
from dify_kernel.hookspecs import hookimpl
from dify_kernel.registry import Registry

from tests.corpus.prompter import PROMPTER
from tests.corpus.sample_files import PNG

__all__ = ["missing_tools", "register_tools"]

_FORMS = ("schema", "form", "llm")


class _NoCredentials(msgspec.Struct, frozen=True):
    """Nothing is asked for."""


def missing_tools() -> list[str]:
    """The tool providers that published apps name and no installed plugin offers."""
    return sorted(_providers().keys() - set(Registry().names("tools")))


def _providers() -> dict[str, dict[str, ToolInfo]]:
    """The tools that published apps name, by provider."""
    found: dict[str, dict[str, ToolInfo]] = {}
    for path in PROMPTER.files:
        text = path.read_text("utf-8")
        if "tool_name" not in text:
            continue
        for use in _uses(yaml.load(text, Loader=yaml.CSafeLoader)):
            provider = use.get("provider_id") or use.get("provider_name")
            if isinstance(provider, str) and provider:
                known = found.setdefault(provider_name(provider), {})
                known[use["tool_name"]] = _merged(known.get(use["tool_name"]), _info(use))
    return found


def _uses(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if isinstance(value.get("tool_name"), str):
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _uses(item)


def _info(use: dict[str, Any]) -> ToolInfo:
    described = use.get("paramSchemas") or use.get("schemas") or []
    parameters = {item["name"]: _parameter(item) for item in described if isinstance(item, dict) and "name" in item}
    for key in ("tool_parameters", "tool_configurations", "parameters", "settings"):
        given = use.get(key)
        for name in given if isinstance(given, dict) else ():
            parameters.setdefault(name, ToolParameter(name=name, type="any"))
    schema = use.get("output_schema")
    return ToolInfo(
        name=use["tool_name"],
        label=str(use.get("tool_label") or use["tool_name"]),
        parameters=[*parameters.values()],
        output_schema=schema if isinstance(schema, dict) else None,
    )


def _parameter(item: dict[str, Any]) -> ToolParameter:
    kind, form = item.get("type"), item.get("form")
    return ToolParameter(
        name=item["name"],
        type=kind if kind in PARAMETER_TYPES else "any",
        form=form if form in _FORMS else "llm",
        default=item.get("default"),
        options=[str(option.get("value")) for option in item.get("options") or [] if isinstance(option, dict)],
    )


def _merged(one: ToolInfo | None, other: ToolInfo) -> ToolInfo:
    """What any of two uses knows of a tool."""
    if one is None:
        return other
    known = {parameter.name for parameter in other.parameters}
    more = [parameter for parameter in one.parameters if parameter.name not in known]
    return msgspec.structs.replace(
        other, parameters=[*other.parameters, *more], output_schema=other.output_schema or one.output_schema
    )


def _instance(schema: Any) -> Any:
    """The plainest value of a schema."""
    schema = schema if isinstance(schema, dict) else {}
    kind = schema.get("type", "string")
    if kind == "object":
        return {name: _instance(part) for name, part in (schema.get("properties") or {}).items()}
    if kind == "array":
        return [_instance(schema.get("items"))]
    return {"number": 1.5, "integer": 1, "boolean": True, "null": None}.get(kind, "text")


def _family(provider: str, infos: Mapping[str, ToolInfo]) -> type[ToolProvider]:
    class StandIn(ToolProvider):
        """Plays one provider."""

        name = provider
        label = provider
        Credentials = _NoCredentials

        def tools(self) -> Sequence[ToolInfo]:
            return [*infos.values()]

        async def invoke(
            self, tool: str, parameters: Mapping[str, Any], credentials: Any
        ) -> AsyncIterator[ToolMessage]:
            shown = {name: value for name, value in parameters.items() if isinstance(value, str | int | float | bool)}
            told = f"{tool}({', '.join(f'{name}={value}' for name, value in shown.items())})"
            yield TextMessage(PROMPTER.now.tool or told)
            for value in PROMPTER.now.tool_json or [{"tool": tool, "parameters": shown}]:
                yield JsonMessage(value)
            yield BlobMessage(data=PNG, mime_type="image/png", filename=f"{tool}.png")
            for name, schema in ((infos[tool].output_schema or {}).get("properties") or {}).items():
                if name not in ("text", "json", "files"):
                    yield VariableMessage(name=name, value=_instance(schema))

    return StandIn


@hookimpl
def register_tools(register: Callable[..., None]) -> None:
    """Register a family a provider that is in no other distribution."""
    known = _providers()
    for name in missing_tools():
        register(_family(name, known[name]))
