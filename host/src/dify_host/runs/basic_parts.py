"""What the graphs of all basic apps are made of: fields of the form, references in prompts, knowledge, files."""

from __future__ import annotations

import re
from typing import Any, Final

from dify_kernel.errors import BadInput

from dify_host.apps.records import ModelConfig

__all__ = ["dataset_ids", "form_variables", "graph_node", "references", "retrieval_settings", "vision"]

_PLACEHOLDER: Final = re.compile(r"\{\{([^\W\d]\w{0,99})\}\}")
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


def graph_node(node_id: str, kind: str, **data: Any) -> dict[str, Any]:
    """One node of a graph."""
    return {"id": node_id, "type": "custom", "data": {"type": kind, "title": kind, **data}}


def dataset_ids(config: ModelConfig) -> list[str]:
    """The knowledge bases of an app that are switched on."""
    listed = (config.dataset_configs.get("datasets") or {}).get("datasets") or []
    bodies = [item.get("dataset") or {} for item in listed if isinstance(item, dict)]
    return [str(body["id"]) for body in bodies if body.get("id") and body.get("enabled", True)]


def retrieval_settings(config: ModelConfig) -> dict[str, Any]:
    """How an app searches its knowledge, in the words of the knowledge-retrieval node's `multiple_retrieval_config`."""
    settings = config.dataset_configs
    threshold = settings.get("score_threshold") if settings.get("score_threshold_enabled") else None
    ranking = settings.get("reranking_model") or {}
    reranking = {"provider": ranking.get("reranking_provider_name"), "model": ranking.get("reranking_model_name")}
    return {
        "top_k": settings.get("top_k") or 4,
        "score_threshold": threshold,
        "reranking_enable": bool(settings.get("reranking_enable", settings.get("reranking_enabled", False))),
        "reranking_mode": settings.get("reranking_mode") or "reranking_model",
        "reranking_model": reranking if reranking["model"] else None,
        "weights": settings.get("weights"),
    }


def vision(config: ModelConfig) -> dict[str, Any]:
    """Whether the model sees the files of a message, and in what detail."""
    image = config.file_upload.get("image") or {}
    enabled = bool(image.get("enabled") or config.file_upload.get("enabled"))
    configs = {"variable_selector": ["sys", "files"], "detail": image.get("detail") or "high"}
    return {"enabled": enabled, "configs": configs}


def references(text: str, names: set[str]) -> str:
    """`{{name}}` of a form field and the marks become references; any other braces stay as they are."""
    for mark, reference in _MARKS.items():
        text = text.replace(mark, reference)
    return _PLACEHOLDER.sub(lambda m: f"{{{{#start.{m[1]}#}}}}" if m[1] in names else m[0], text)
