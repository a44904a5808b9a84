"""The agent of a basic app: its strategy, its prompt, its tools and its knowledge, as an agent node has them."""

from __future__ import annotations

from typing import Any, Final

from dify_host.apps.records import ModelConfig
from dify_host.runs.basic_parts import dataset_ids, form_variables, graph_node, references, retrieval_settings, vision

__all__ = ["agent_node", "has_agent"]

#: By their names in `agent_mode`; without one of them the model's features decide.
_STRATEGIES: Final = {"function_call": "function_calling", "cot": "ReAct", "react": "ReAct"}
#: Strategies of old apps, which had knowledge bases and no tools: a chat asks the knowledge itself.
_NO_AGENT: Final = ("router", "react_router")
_ITERATIONS: Final = 10
#: An entry with fewer keys is of an old app: `{dataset: {enabled, id}}`, or a tool that is no more.
_TOOL_KEYS: Final = 4


def has_agent(config: ModelConfig, mode: str) -> bool:
    """Whether an agent answers. A plain chat has one when `agent_mode` is on and names a strategy."""
    settings = config.agent_mode
    if mode == "agent-chat":
        return settings.get("strategy") not in _NO_AGENT
    return mode == "chat" and bool(settings.get("enabled")) and settings.get("strategy") in _STRATEGIES


def agent_node(config: ModelConfig) -> dict[str, Any]:
    """The node that answers; the knowledge bases are a tool of it."""
    settings = config.agent_mode
    names = {field["variable"] for field in form_variables(config)}
    model = config.model
    prompt = settings.get("prompt") or {}
    parameters = {
        "model": {
            "provider": model.get("provider"),
            "model": model.get("name"),
            "mode": model.get("mode") or "chat",
            "completion_params": model.get("completion_params") or {},
        },
        "instruction": references(_instruction(config), names),
        "maximum_iterations": settings.get("max_iteration") or _ITERATIONS,
        "tools": [*_tools(config), *_knowledge(config)],
        "prompt": prompt.get("first_prompt") or "",
    }
    given = {name: {"type": "constant", "value": value} for name, value in parameters.items()}
    return graph_node(
        "agent",
        "agent",
        agent_strategy_name=_STRATEGIES.get(str(settings.get("strategy")), "auto"),
        agent_parameters={**given, "query": {"type": "variable", "value": ["sys", "query"]}},
        memory={"window": {"enabled": False}},
        vision=vision(config),
    )


def _instruction(config: ModelConfig) -> str:
    if config.prompt_type != "advanced":
        return config.pre_prompt
    messages = [item for item in config.chat_prompt_config.get("prompt") or [] if isinstance(item, dict)]
    return config.pre_prompt or "\n".join(str(item.get("text") or "") for item in messages)


def _tools(config: ModelConfig) -> list[dict[str, Any]]:
    listed = config.agent_mode.get("tools") or []
    return [
        {
            "enabled": True,
            "type": tool.get("provider_type") or "builtin",
            "provider_name": str(tool.get("provider_id") or tool.get("provider_name") or ""),
            "tool_name": str(tool.get("tool_name") or ""),
            "tool_label": tool.get("tool_label"),
            "settings": {name: {"value": value} for name, value in (tool.get("tool_parameters") or {}).items()},
            "credential_id": tool.get("credential_id"),
        }
        for tool in listed
        if isinstance(tool, dict) and len(tool) >= _TOOL_KEYS and tool.get("enabled")
    ]


def _knowledge(config: ModelConfig) -> list[dict[str, Any]]:
    """One tool for all knowledge bases, those of old entries included."""
    old = [tool.get("dataset") for tool in config.agent_mode.get("tools") or [] if isinstance(tool, dict)]
    added = [str(item["id"]) for item in old if isinstance(item, dict) and item.get("id") and item.get("enabled")]
    ids = list(dict.fromkeys([*dataset_ids(config), *added]))
    if not ids:
        return []
    settings = {
        **retrieval_settings(config),
        "dataset_ids": ids,
        "metadata_filtering_mode": config.dataset_configs.get("metadata_filtering_mode") or "disabled",
        "metadata_filtering_conditions": config.dataset_configs.get("metadata_filtering_conditions"),
    }
    name = f"dataset_{ids[0] if len(ids) == 1 else config.app_id}".replace("-", "_")
    return [
        {
            "enabled": True,
            "type": "dataset-retrieval",
            "provider_name": "knowledge",
            "tool_name": name,
            "settings": {key: {"value": value} for key, value in settings.items() if value is not None},
        }
    ]
