"""Turns the configuration of a chat or completion app into a graph, so that one engine runs every kind of app.

start -> (knowledge-retrieval) -> llm -> answer. The prompt's `{{name}}` becomes a reference to the start node.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any, Final

from dify_kernel.errors import BadInput, NotImplementedYet

from dify_host.apps.records import ModelConfig

__all__ = ["basic_graph", "form_variables"]

_PLACEHOLDER: Final = re.compile(r"\{\{([^\W\d]\w{0,99})\}\}")
_CONTEXT: Final = (
    "Answer from the passages below. When they do not hold the answer, say that you do not know. "
    "Do not mention the passages.\n\n<context>\n{#context#}\n</context>"
)
#: What the prompts of basic apps call by these names, in the words of the llm node. It puts the context in place of
#: single braces.
_MARKS: Final = {
    "{{#context#}}": "{#context#}",
    "{{#query#}}": "{{#sys.query#}}",
    "{{#histories#}}": "#histories#",
}
#: How clients' form types are called in a start node.
_FORM_KEYS: Final = ("label", "required", "default", "max_length", "options", "description", "hide")


def form_variables(config: ModelConfig) -> list[dict[str, Any]]:
    """The fields of `user_input_form` as a start node declares them."""
    fields = []
    for item in config.user_input_form:
        for kind, body in item.items():
            if not isinstance(body, dict) or not body.get("variable"):
                raise BadInput("A field of `user_input_form` needs a `variable`.", field=kind)
            kept = {key: body[key] for key in _FORM_KEYS if body.get(key) is not None}
            extra = {key: value for key, value in body.items() if key.startswith("allowed_file")}
            fields.append({"variable": body["variable"], "type": kind, **kept, **extra})
    known = {field["variable"] for field in fields}
    for tool in config.external_data_tools:
        # The older form: what a service fills in is not among the fields, and the prompt names it all the same.
        if isinstance(tool, dict) and tool.get("enabled") and tool.get("variable") and tool["variable"] not in known:
            fields.append({"variable": tool["variable"], "type": "external_data_tool", "label": tool["variable"]})
    return fields


def basic_graph(config: ModelConfig, mode: str) -> dict[str, Any]:
    """The graph of a basic app; BadInput when the configuration cannot run, NotImplementedYet for agents."""
    if mode == "agent-chat" or config.agent_mode.get("enabled"):
        raise NotImplementedYet("Agent apps do not run yet.", hint="Use an advanced-chat app.")
    datasets = _dataset_ids(config)
    nodes = [_node("start", "start", variables=form_variables(config))]
    if datasets:
        nodes.append(_retrieval(config, mode, datasets))
    nodes.append(_llm(config, mode, bool(datasets)))
    nodes.append(_node("answer", "answer", answer="{{#llm.text#}}"))
    ids = [node["id"] for node in nodes]
    return {"nodes": nodes, "edges": [{"source": source, "target": target} for source, target in pairwise(ids)]}


def _node(node_id: str, kind: str, **data: Any) -> dict[str, Any]:
    return {"id": node_id, "type": "custom", "data": {"type": kind, "title": kind, **data}}


def _dataset_ids(config: ModelConfig) -> list[str]:
    listed = (config.dataset_configs.get("datasets") or {}).get("datasets") or []
    bodies = [item.get("dataset") or {} for item in listed if isinstance(item, dict)]
    return [str(body["id"]) for body in bodies if body.get("id") and body.get("enabled", True)]


def _retrieval(config: ModelConfig, mode: str, datasets: list[str]) -> dict[str, Any]:
    settings = config.dataset_configs
    variable = config.dataset_query_variable
    if mode == "completion" and not variable:
        raise BadInput(
            "A completion app with knowledge needs `dataset_query_variable`.", field="dataset_query_variable"
        )
    selector = ["start", variable] if mode == "completion" else ["sys", "query"]
    threshold = settings.get("score_threshold") if settings.get("score_threshold_enabled") else None
    ranking = settings.get("reranking_model") or {}
    reranking = {"provider": ranking.get("reranking_provider_name"), "model": ranking.get("reranking_model_name")}
    multiple = {
        "top_k": settings.get("top_k") or 4,
        "score_threshold": threshold,
        "reranking_enable": bool(settings.get("reranking_enable", settings.get("reranking_enabled", False))),
        "reranking_mode": settings.get("reranking_mode") or "reranking_model",
        "reranking_model": reranking if reranking["model"] else None,
        "weights": settings.get("weights"),
    }
    return _node(
        "knowledge",
        "knowledge-retrieval",
        query_variable_selector=selector,
        dataset_ids=datasets,
        retrieval_mode="multiple",
        multiple_retrieval_config=multiple,
        metadata_filtering_mode=settings.get("metadata_filtering_mode") or "disabled",
        metadata_filtering_conditions=settings.get("metadata_filtering_conditions"),
    )


def _llm(config: ModelConfig, mode: str, with_context: bool) -> dict[str, Any]:
    names = {field["variable"] for field in form_variables(config)}
    model = {**config.model, "mode": config.model.get("mode") or "chat"}
    data: dict[str, Any] = {
        "model": model,
        "context": {"enabled": with_context, "variable_selector": ["knowledge", "result"] if with_context else []},
        "vision": _vision(config),
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
    return _node("llm", "llm", **data)


def _vision(config: ModelConfig) -> dict[str, Any]:
    image = config.file_upload.get("image") or {}
    enabled = bool(image.get("enabled") or config.file_upload.get("enabled"))
    configs = {"variable_selector": ["sys", "files"], "detail": image.get("detail") or "high"}
    return {"enabled": enabled, "configs": configs}


def _prompt(config: ModelConfig, mode: str, with_context: bool, names: set[str]) -> Any:
    if config.prompt_type == "advanced":
        return _advanced(config, names)
    text = _references(config.pre_prompt, names)
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
        return {"text": _references(str(prompt.get("text") or ""), names)}
    messages = config.chat_prompt_config.get("prompt") or []
    return [
        {"role": item.get("role") or "user", "text": _references(str(item.get("text") or ""), names)}
        for item in messages
        if isinstance(item, dict)
    ]


def _references(text: str, names: set[str]) -> str:
    """`{{name}}` of a form field and the marks become references; any other braces stay as they are."""
    for mark, reference in _MARKS.items():
        text = text.replace(mark, reference)
    return _PLACEHOLDER.sub(lambda m: f"{{{{#start.{m[1]}#}}}}" if m[1] in names else m[0], text)
