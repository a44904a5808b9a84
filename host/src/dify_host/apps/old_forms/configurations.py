"""Old forms of a `model_config`: knowledge bases as tools of an agent, models without a mode, one stop word."""

from __future__ import annotations

from typing import Any, Final

from dify_host.apps.old_forms.rule import Mapping, Rule, mappings

__all__ = ["CONFIG_RULES", "datasets_of_today", "model_of_today", "without_router"]

#: Strategies of agents that only chose a knowledge base.
_ROUTERS: Final = ("router", "react_router")


def model_of_today(config: Mapping) -> Mapping:
    """A model without a mode is asked in chat; one stop word becomes a list."""
    model = config.get("model")
    if not isinstance(model, dict) or not model:
        return config
    new: Mapping = {} if model.get("mode") else {"mode": "chat"}
    parameters = model.get("completion_params")
    stop = parameters.get("stop") if isinstance(parameters, dict) else None
    if isinstance(parameters, dict) and isinstance(stop, str):
        new["completion_params"] = {**parameters, "stop": [stop] if stop else []}
    return {**config, "model": {**model, **new}} if new else config


def datasets_of_today(config: Mapping) -> Mapping:
    """Knowledge bases among an agent's tools move to the configuration of knowledge."""
    agent = config.get("agent_mode")
    tools = agent.get("tools") if isinstance(agent, dict) else None
    if not isinstance(tools, list) or not isinstance(agent, dict):
        return config
    moved = [_entry(tool) for tool in mappings(tools) if _dataset(tool)]
    if not moved:
        return config
    settings: Any = config.get("dataset_configs")
    settings = settings if isinstance(settings, dict) else {}
    holder = settings.get("datasets")
    holder = holder if isinstance(holder, dict) else {}
    present = mappings(holder.get("datasets"))
    known = [_dataset(item).get("id") for item in present]
    listed = [*present, *(item for item in moved if item["dataset"].get("id") not in known)]
    datasets = {"strategy": "router", **holder, "datasets": listed}
    left = [tool for tool in tools if not (isinstance(tool, dict) and _dataset(tool))]
    return {
        **config,
        "agent_mode": {**agent, "tools": left},
        "dataset_configs": {"retrieval_model": "multiple", **settings, "datasets": datasets},
    }


def without_router(config: Mapping) -> Mapping:
    """An agent whose strategy was to choose a knowledge base is none."""
    agent = config.get("agent_mode")
    if not isinstance(agent, dict) or agent.get("strategy") not in _ROUTERS or not agent.get("enabled"):
        return config
    return config if agent.get("tools") else {**config, "agent_mode": {**agent, "enabled": False}}


def _dataset(tool: Mapping) -> Mapping:
    body = tool.get("dataset")
    return body if isinstance(body, dict) else {}


def _entry(tool: Mapping) -> Mapping:
    return {"dataset": {"enabled": True, **_dataset(tool)}}


CONFIG_RULES: Final = (
    Rule("model", "The model had no mode, or one stop word.", model_of_today),
    Rule("agent-datasets", "Knowledge bases stood among an agent's tools.", datasets_of_today),
    Rule("agent-router", "An agent only chose a knowledge base.", without_router),
)
