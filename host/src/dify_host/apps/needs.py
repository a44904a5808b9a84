"""What an app needs and this installation does not have: node types, model providers, tools, plugins it lists.

Distributions are named by convention, `dify-KIND-NAME`. A plugin that only the text's list of dependencies names may be
of any kind, so nothing is said about what to install for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal

import msgspec
from dify_kernel.graph.plan import Problem
from dify_kernel.registry import Registry

from dify_host.apps import sharing
from dify_host.models.pool import provider_name

__all__ = ["MISSING_PROVIDER", "MISSING_TOOL", "Missing", "find_missing", "missing_problems"]

MISSING_PROVIDER: Final = "missing_provider"
MISSING_TOOL: Final = "missing_tool"
#: Tools of these kinds live in the workspace, not in a plugin.
_OWN_TOOLS: Final = ("api", "workflow", "mcp", "app", "dataset-retrieval")
_MODEL_TYPES: Final = ("llm", "question-classifier", "parameter-extractor")
_KINDS: Final = {"node": "nodes", "provider": "providers", "tool": "tools"}

Kind = Literal["node", "provider", "tool", "plugin"]


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that nothing installed offers; `distribution` is empty where no convention tells it."""

    kind: Kind
    name: str
    distribution: str = ""
    node_ids: list[str] = []


def find_missing(
    graph: Mapping[str, Any],
    config: Mapping[str, Any],
    dependencies: Iterable[dict[str, Any]],
    registry: Registry,
) -> list[Missing]:
    """What is missing for a graph or a configuration, by kind and name; imports no plugin."""
    wanted: dict[tuple[Kind, str], dict[str, None]] = {}
    for kind, name, node_id in (*_of_graph(graph), *_of_config(config)):
        users = wanted.setdefault((kind, name), {})
        if node_id:
            users[node_id] = None
    offered = {kind: set(registry.names(group)) for kind, group in _KINDS.items()}
    found = [
        Missing(kind=kind, name=name, distribution=_distribution(kind, name), node_ids=[*users])
        for (kind, name), users in sorted(wanted.items())
        if name not in offered[kind]
    ]
    named = {_plain(name) for _, name in wanted} | {_plain(name) for names in offered.values() for name in names}
    listed = [
        plugin for plugin in sharing.used_plugins([*dependencies]) if _plain(plugin.rpartition("/")[2]) not in named
    ]
    return found + [Missing(kind="plugin", name=plugin) for plugin in listed]


def missing_problems(missing: Iterable[Missing]) -> list[Problem]:
    """The same as warnings, one a node; node types are told by the graph's own check."""
    found = []
    for item in missing:
        if item.kind not in ("provider", "tool"):
            continue
        what = "model provider" if item.kind == "provider" else "tool provider"
        code = MISSING_PROVIDER if item.kind == "provider" else MISSING_TOOL
        message = (
            f"No installed plugin offers the {what} {item.name!r}; if there is one: pip install {item.distribution}."
        )
        users: list[str | None] = [*item.node_ids]
        found += [Problem(code=code, message=message, node_id=user, severity="warning") for user in users or [None]]
    return found


# -- what is named -------------------------------------------------------------------------------------------


def _of_graph(graph: Mapping[str, Any]) -> Iterator[tuple[Kind, str, str]]:
    for node_id, data in sharing.node_data(graph):
        kind = data.get("type")
        if not isinstance(kind, str) or not kind:
            continue
        yield "node", kind, node_id
        for name in _models(kind, data):
            yield "provider", name, node_id
        for name in _tools(kind, data):
            yield "tool", name, node_id


def _of_config(config: Mapping[str, Any]) -> Iterator[tuple[Kind, str, str]]:
    settings = _dict(config.get("dataset_configs"))
    ranking = _dict(settings.get("reranking_model"))
    for text in (_dict(config.get("model")).get("provider"), ranking.get("reranking_provider_name")):
        if name := _name(text):
            yield "provider", name, ""
    agent = _dict(config.get("agent_mode"))
    tools = agent.get("tools") if agent.get("enabled") else None
    for tool in tools if isinstance(tools, list) else []:
        if isinstance(tool, dict) and (name := _tool_name(tool)):
            yield "tool", name, ""


def _models(kind: str, data: dict[str, Any]) -> Iterator[str]:
    holders: list[Any] = []
    if kind in _MODEL_TYPES:
        holders.append(data.get("model"))
    elif kind == "agent":
        holders.append(_dict(_dict(data.get("agent_parameters")).get("model")).get("value"))
    elif kind == "knowledge-retrieval":
        multiple, single = _dict(data.get("multiple_retrieval_config")), _dict(data.get("single_retrieval_config"))
        if data.get("retrieval_mode") == "single":
            holders.append(single.get("model"))
        elif multiple.get("reranking_enable") and multiple.get("reranking_mode") != "weighted_score":
            holders.append(multiple.get("reranking_model"))
    for holder in holders:
        if name := _name(_dict(holder).get("provider")):
            yield name


def _tools(kind: str, data: dict[str, Any]) -> Iterator[str]:
    tools: list[Any] = []
    if kind == "tool":
        tools = [data]
    elif kind == "agent":
        value = _dict(_dict(data.get("agent_parameters")).get("tools")).get("value")
        tools = value if isinstance(value, list) else []
    for tool in tools:
        if isinstance(tool, dict) and tool.get("enabled", True) and (name := _tool_name(tool)):
            yield name


def _tool_name(tool: dict[str, Any]) -> str:
    """The provider of a tool that a plugin offers; "" for the workspace's own."""
    if (tool.get("provider_type") or tool.get("type") or "builtin") in _OWN_TOOLS:
        return ""
    return _name(tool.get("provider_id") or tool.get("provider_name"))


def _name(text: Any) -> str:
    return provider_name(text) if isinstance(text, str) else ""


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _distribution(kind: Kind, name: str) -> str:
    return f"dify-{_KINDS[kind]}-{_plain(name)}"


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")
