"""Turns the configuration of a chat or completion app into a graph, so that one engine runs every kind of app.

start -> (knowledge-retrieval) -> llm -> answer, or start -> agent -> answer. The prompt's `{{name}}` becomes a
reference to the start node.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

from dify_kernel.errors import BadInput

from dify_host.apps.records import ModelConfig
from dify_host.runs.basic_agent import agent_node, has_agent
from dify_host.runs.basic_parts import dataset_ids, form_variables, graph_node, references, retrieval_settings, vision

__all__ = ["basic_graph"]

_CONTEXT: Final = (
    "Answer from the passages below. When they do not hold the answer, say that you do not know. "
    "Do not mention the passages.\n\n<context>\n{#context#}\n</context>"
)


def basic_graph(config: ModelConfig, mode: str) -> dict[str, Any]:
    """The graph of a basic app; BadInput when the configuration cannot run."""
    nodes = [graph_node("start", "start", variables=form_variables(config))]
    if has_agent(config, mode):
        nodes += [agent_node(config), graph_node("answer", "answer", answer="{{#agent.text#}}")]
    else:
        datasets = dataset_ids(config)
        if datasets:
            nodes.append(_retrieval(config, mode, datasets))
        nodes += [_llm(config, mode, bool(datasets)), graph_node("answer", "answer", answer="{{#llm.text#}}")]
    ids = [node["id"] for node in nodes]
    return {"nodes": nodes, "edges": [{"source": source, "target": target} for source, target in pairwise(ids)]}


def _retrieval(config: ModelConfig, mode: str, datasets: list[str]) -> dict[str, Any]:
    settings = config.dataset_configs
    variable = config.dataset_query_variable
    if mode == "completion" and not variable:
        raise BadInput(
            "A completion app with knowledge needs `dataset_query_variable`.", field="dataset_query_variable"
        )
    return graph_node(
        "knowledge",
        "knowledge-retrieval",
        query_variable_selector=["start", variable] if mode == "completion" else ["sys", "query"],
        dataset_ids=datasets,
        retrieval_mode="multiple",
        multiple_retrieval_config=retrieval_settings(config),
        metadata_filtering_mode=settings.get("metadata_filtering_mode") or "disabled",
        metadata_filtering_conditions=settings.get("metadata_filtering_conditions"),
    )


def _llm(config: ModelConfig, mode: str, with_context: bool) -> dict[str, Any]:
    names = {field["variable"] for field in form_variables(config)}
    model = {**config.model, "mode": config.model.get("mode") or "chat"}
    data: dict[str, Any] = {
        "model": model,
        "context": {"enabled": with_context, "variable_selector": ["knowledge", "result"] if with_context else []},
        "vision": vision(config),
        "prompt_template": _prompt(config, mode, with_context, names),
    }
    if mode != "completion":
        histories = config.completion_prompt_config.get("conversation_histories_role") or {}
        data["memory"] = {
            "window": {"enabled": False, "size": 50},
            "query_prompt_template": "{{#sys.query#}}",
            "role_prefix": {
                "user": histories.get("user_prefix") or "Human",
                "assistant": histories.get("assistant_prefix") or "Assistant",
            },
        }
    return graph_node("llm", "llm", **data)


def _prompt(config: ModelConfig, mode: str, with_context: bool, names: set[str]) -> Any:
    if config.prompt_type == "advanced":
        return _advanced(config, names)
    text = references(config.pre_prompt, names)
    if mode == "completion" and not text.strip():
        text = "{{#start.query#}}" if "query" in names else "{{#sys.query#}}"
    if with_context and "{#context#}" not in text:
        text = f"{_CONTEXT}\n\n{text}".strip()
    if config.model.get("mode") == "completion":
        tail = "\n\n#histories#\nHuman: {{#sys.query#}}\nAssistant: " if mode != "completion" else ""
        return {"text": f"{text}{tail}"}
    if mode != "completion":
        return [{"role": "system", "text": text}] if text else []
    return [{"role": "user", "text": text}]


def _advanced(config: ModelConfig, names: set[str]) -> Any:
    if config.model.get("mode") == "completion":
        prompt = config.completion_prompt_config.get("prompt") or {}
        return {"text": references(str(prompt.get("text") or ""), names)}
    messages = config.chat_prompt_config.get("prompt") or []
    return [
        {"role": item.get("role") or "user", "text": references(str(item.get("text") or ""), names)}
        for item in messages
        if isinstance(item, dict)
    ]
