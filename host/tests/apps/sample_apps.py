"""Small apps as text, one of each mode."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import yaml

DATASET = "7f0c1f86-2f2e-4c59-9a0b-6a5f0e1f7a11"
FORM = [{"text-input": {"label": "Name", "variable": "name", "required": True}}]


def node(node_id: str, kind: str, **data: Any) -> dict[str, Any]:
    return {
        "id": node_id,
        "type": "custom",
        "position": {"x": 1.5, "y": 2},
        "data": {"type": kind, "title": kind.title(), **data},
    }


def edge(source: str, target: str) -> dict[str, Any]:
    ends = {"source": source, "sourceHandle": "source", "target": target, "targetHandle": "target"}
    return {"id": f"{source}-source-{target}-target", **ends, "data": {"sourceType": "x"}}


START = node("start", "start", variables=[{"type": "text-input", "variable": "city", "label": "City"}])
END = node("end", "end", outputs=[{"variable": "city", "value_selector": ["start", "city"]}])
ANSWER = node("answer", "answer", answer="{{#sys.query#}}")
RETRIEVAL = node(
    "kb",
    "knowledge-retrieval",
    query_variable_selector=["start", "city"],
    dataset_ids=[DATASET],
    retrieval_mode="multiple",
    multiple_retrieval_config={"top_k": 4, "reranking_enable": False},
)
SECRET = {"name": "KEY", "value_type": "secret", "value": "sk-secret", "id": "5f0c1f86-2f2e-4c59-9a0b-6a5f0e1f7a11"}
SEEN = {"name": "seen", "value_type": "array[string]", "value": ["é 🎉"], "description": "so far"}
FULL_CONFIG: dict[str, Any] = {
    "prompt_type": "advanced",
    "dataset_query_variable": "name",
    "dataset_configs": {
        "retrieval_model": "multiple",
        "datasets": {"datasets": [{"dataset": {"enabled": True, "id": DATASET}}]},
        "reranking_model": {"reranking_provider_name": "a", "reranking_model_name": "b"},
    },
    "agent_mode": {"enabled": False, "tools": [{"dataset": {"id": DATASET, "enabled": True}}]},
    "sensitive_word_avoidance": {
        "enabled": True,
        "type": "keywords",
        "config": {"keywords": "a", "inputs_config": {"enabled": True, "preset_response": "n"}},
    },
    "chat_prompt_config": {"prompt": [{"role": "user", "text": "x"}]},
    "completion_prompt_config": {"prompt": {"text": "x"}, "conversation_histories_role": {"user_prefix": "a"}},
    "file_upload": {"image": {"enabled": True}},
}


def graph(*nodes: dict[str, Any], **more: Any) -> dict[str, Any]:
    """These nodes in a row."""
    ids = [item["id"] for item in nodes]
    return {"nodes": list(nodes), "edges": [edge(a, b) for a, b in pairwise(ids)], **more}


def document(mode: str, **changes: Any) -> dict[str, Any]:
    """A whole app of a mode; `changes` replace top-level keys."""
    data: dict[str, Any] = {
        "version": "0.5.0",
        "kind": "app",
        "app": {"name": "Sample 🎉", "mode": mode, "icon": "🤖", "icon_background": "#FFEAD5", "description": "d"},
        "dependencies": [],
    }
    if mode in ("workflow", "advanced-chat"):
        row = (START, RETRIEVAL, END) if mode == "workflow" else (START, RETRIEVAL, ANSWER)
        data["workflow"] = {
            "graph": graph(*row, viewport={"x": 0, "y": 0, "zoom": 0.7}, unknown=[1]),
            "features": {"opening_statement": "Hi", "mystery": {"a": 1}},
            "environment_variables": [SECRET, {"name": "LIMIT", "value_type": "number", "value": 3}],
            "conversation_variables": [SEEN],
        }
    else:
        data["model_config"] = {
            "model": {"provider": "openai", "name": "small", "mode": "chat", "completion_params": {"stop": []}},
            "pre_prompt": "Hello {{name}}",
            "user_input_form": FORM,
        }
    return {**data, **changes}


def text(mode: str, **changes: Any) -> str:
    """The same as YAML."""
    return yaml.safe_dump(document(mode, **changes), allow_unicode=True)


def workflow_text(*nodes: dict[str, Any], mode: str = "workflow", **body: Any) -> str:
    """An app whose workflow has these nodes in a row."""
    return text(mode, workflow={"graph": graph(*nodes), **body})
