"""The apps without a graph that are run while processes die: a chat, a completion, a chat with an agent."""

from __future__ import annotations

from typing import Any

import msgspec
import yaml

__all__ = ["MODEL", "Data", "FaultApp", "basic_apps", "head"]

MODEL = "gpt-4o-mini"
Data = dict[str, Any]
_NO = {"enabled": False}


class FaultApp(msgspec.Struct, frozen=True, kw_only=True):
    """One app: how it is called, its mode, its DSL, and what starts it: a `call`, a `webhook` or a `schedule`.

    `query` is what a chat is asked, with WORD and PACE in it.
    """

    name: str
    mode: str
    dsl: str
    started_by: str = "call"
    query: str = "WORD"

    def body(self, word: str, pace: str) -> tuple[str, Data]:
        """The path below `/v1` of a call of it, and what is its own in the body."""
        inputs = {"word": word, "pace": pace}
        if self.mode == "workflow":
            return "workflows/run", {"inputs": inputs}
        if self.mode == "completion":
            return "completion-messages", {"inputs": inputs}
        query = self.query.replace("WORD", word).replace("PACE", pace)
        return "chat-messages", {"inputs": {"pace": pace}, "query": query, "auto_generate_name": False}


def basic_apps(dataset_id: str) -> list[FaultApp]:
    """One of each mode; the answers of the completion are judged."""
    datasets = {"datasets": [{"dataset": {"enabled": True, "id": dataset_id}}]}
    knows = {"dataset_configs": {"retrieval_model": "multiple", "datasets": datasets, "top_k": 2}}
    clock = {
        "enabled": True,
        "provider_id": "time",
        "provider_type": "builtin",
        "provider_name": "time",
        "tool_name": "current_time",
        "tool_parameters": {},
    }
    uses = {"agent_mode": {"enabled": True, "strategy": "function_call", "tools": [clock], "max_iteration": 3}}
    presets = {"enabled": True, "preset_response": "no"}
    rules = {"keywords": "unheard", "inputs_config": _NO, "outputs_config": presets}
    judged = {"sensitive_word_avoidance": {"enabled": True, "type": "keywords", "config": rules}}
    return [
        _basic("plain", "chat", "You know robots.", query="WORD? PACE REPLY:it has wheels, and is charged", **knows),
        _basic("write", "completion", "{{pace}} REPLY:so it is written of {{word}}", "word", **judged),
        _basic(
            "helper", "agent-chat", "Use the tool.", query='PACE WORD TOOL:current_time {"timezone": "UTC"}', **uses
        ),
    ]


def head(name: str, mode: str) -> Data:
    """What every DSL begins with."""
    app = {"name": name, "mode": mode, "icon": "x", "icon_background": "#FFEAD5", "description": ""}
    return {"version": "0.5.0", "kind": "app", "app": app}


def _basic(name: str, mode: str, prompt: str, *fields: str, query: str = "", **more: Any) -> FaultApp:
    form = [
        {"text-input": {"variable": field, "label": field, "required": True, "max_length": 200}}
        for field in (*fields, "pace")
    ]
    config = {
        "model": {"provider": "openai", "name": MODEL, "mode": "chat", "completion_params": {}},
        "prompt_type": "simple",
        "pre_prompt": prompt,
        "user_input_form": form,
        "dataset_configs": {"retrieval_model": "multiple", "datasets": {"datasets": []}, "top_k": 4},
        "agent_mode": {"enabled": False, "strategy": None, "tools": [], "prompt": None},
        "retriever_resource": {"enabled": True},
        **more,
    }
    dsl = yaml.safe_dump({**head(name, mode), "model_config": config}, allow_unicode=True)
    return FaultApp(name=name, mode=mode, dsl=dsl, query=query)
