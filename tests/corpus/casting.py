"""Rewrites a published app so that it needs nothing from outside: who plays its models, knowledge bases and tools.

Addresses are left as they are: the HTTP client of the stage sends every request to the echo endpoint.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import msgspec
import yaml
from dify_host.apps.records import PIPELINE_MODE
from dify_host.models.pool import provider_name

__all__ = ["Cast", "cast"]

_SCRIPTED = "openai"
_EMBEDDING = "text-embedding-3-small"
#: Keys that name a provider of models where it is not called `provider`.
_PROVIDER_KEYS = ("reranking_provider_name", "embedding_provider_name")
_OWN_STRATEGY = "langgenius/agent/agent"
#: Tools of these kinds are rows of the workspace that the app came from.
_WORKSPACE_TOOLS = ("api", "workflow", "mcp")
_SECRET = "a-secret-that-the-export-left-out"


class Cast(msgspec.Struct, frozen=True, kw_only=True):
    """A playable text. `stand_ins` names what is no longer the app's own: `tool …`, `strategy …`."""

    text: str
    mode: str
    stand_ins: list[str]


def cast(text: str | bytes, *, dataset_id: str, tools: Collection[str], reply: str = "") -> Cast | None:
    """The app with scripted models and our knowledge base; tools besides the installed `tools` are stand-ins.

    With a `reply` every LLM node asks for it. None when the text is none that can be rewritten: it is then imported
    as it is, to be refused.
    """
    try:
        document = yaml.load(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError:
        return None
    if not isinstance(document, dict):
        return None
    pipeline = document.get("kind") == "rag_pipeline"
    if not pipeline and not isinstance(document.get("app"), dict):
        return None
    stand_ins: dict[str, None] = {}
    for part in _mappings(document):
        _scripted_model(part)
        _own_knowledge(part, dataset_id)
        if reply:
            _asked_to_reply(part, reply)
        _stand_in_strategy(part, stand_ins)
        _stand_in_tool(part, tools, stand_ins)
    for variable in (document.get("workflow") or {}).get("environment_variables") or []:
        if isinstance(variable, dict) and variable.get("value_type") == "secret":
            variable["value"] = variable.get("value") or _SECRET
    written = yaml.dump(document, Dumper=yaml.CSafeDumper, allow_unicode=True, sort_keys=False)
    return Cast(
        text=written, mode=PIPELINE_MODE if pipeline else str(document["app"].get("mode")), stand_ins=sorted(stand_ins)
    )


def _mappings(value: Any) -> Iterator[dict[str, Any]]:
    """Every mapping inside a value, the outer ones first."""
    stack = [value]
    while stack:
        part = stack.pop()
        if isinstance(part, dict):
            yield part
            stack += part.values()
        elif isinstance(part, list):
            stack += part


def _scripted_model(part: dict[str, Any]) -> None:
    if isinstance(part.get("provider"), str) and part["provider"] and ("name" in part or "model" in part):
        part["provider"] = _SCRIPTED
    for key in _PROVIDER_KEYS:
        if part.get(key):
            part[key] = _SCRIPTED
    if part.get("embedding_model_provider"):
        part |= {"embedding_model_provider": _SCRIPTED, "embedding_model": _EMBEDDING}


def _asked_to_reply(part: dict[str, Any], reply: str) -> None:
    """The last thing that a model reads tells the scripted one what to say."""
    prompts, memory = part.get("prompt_template"), part.get("memory")
    if isinstance(memory, dict):
        memory["query_prompt_template"] = f"{memory.get('query_prompt_template') or '{{#sys.query#}}'}\nREPLY:{reply}"
    elif isinstance(prompts, list):
        prompts.append({"role": "user", "text": f"REPLY:{reply}"})


def _own_knowledge(part: dict[str, Any], dataset_id: str) -> None:
    if isinstance(part.get("dataset_ids"), list):
        part["dataset_ids"] = [dataset_id]
    dataset = part.get("dataset")
    if isinstance(dataset, dict) and "id" in dataset:
        dataset["id"] = dataset_id


def _stand_in_strategy(part: dict[str, Any], stand_ins: dict[str, None]) -> None:
    name = part.get("agent_strategy_provider_name")
    if isinstance(name, str) and name != _OWN_STRATEGY and part.get("agent_strategy_name"):
        stand_ins[f"strategy {name}"] = None
        part |= {"agent_strategy_provider_name": _OWN_STRATEGY, "agent_strategy_name": "function_calling"}


def _stand_in_tool(part: dict[str, Any], tools: Collection[str], stand_ins: dict[str, None]) -> None:
    """A tool that is not installed is named, one of a workspace becomes one of a plugin."""
    if not isinstance(part.get("tool_name"), str):
        return
    provider = part.get("provider_id") or part.get("provider_name")
    if not isinstance(provider, str) or not part.get("enabled", True):
        return
    key = next((key for key in ("provider_type", "type") if part.get(key) in _WORKSPACE_TOOLS), None)
    if key is not None:
        part[key] = "builtin"
    if key is not None or provider_name(provider) not in tools:
        stand_ins[f"tool {provider_name(provider)}"] = None
        part.pop("credential_id", None)  # of the workspace that the app came from
