"""Old forms inside the `data` of nodes: assigners, HTTP bodies, tools, models, memory, lists that are null."""

from __future__ import annotations

import re
from typing import Any, Final

from dify_host.apps.old_forms.by_hand import HAND_RULES
from dify_host.apps.old_forms.conditions import BRANCH_RULES
from dify_host.apps.old_forms.rule import Mapping, Rule, changed_items, mappings

__all__ = [
    "NODE_RULES",
    "aggregator_of_today",
    "assigner_actions",
    "assigner_version",
    "body_items",
    "boolean_parameters",
    "chat_mode",
    "form_lists",
    "lists_of_today",
    "memory_of_today",
    "tool_values",
]

_LISTS: Final = (
    "break_conditions",
    "cases",
    "classes",
    "dataset_ids",
    "default_value",
    "items",
    "loop_variables",
    "parameters",
    "prompt_template",
    "topics",
    "user_actions",
    "variables",
)
_FORM_LISTS: Final = (
    "options",
    "allowed_file_types",
    "allowed_file_extensions",
    "allowed_file_upload_methods",
)
_REFERENCE: Final = re.compile(r"\{\{#([^#{}\s]+\.[^#{}\s]+)#\}\}")
_FORMS: Final = ("form-data", "x-www-form-urlencoded")
_TOOL_TYPES: Final = {"static": "constant", "selector": "variable"}


def lists_of_today(data: Mapping) -> Mapping:
    """Lists that are null become empty."""
    null = [key for key in _LISTS if key in data and data[key] is None]
    return {**data, **{key: [] for key in null}} if null else data


def form_lists(data: Mapping) -> Mapping:
    """Lists of a field that are null become empty; a field without a label is called by its name."""
    return changed_items(data, "variables", _field_of_today)


def _field_of_today(field: Mapping) -> Mapping:
    new: Mapping = {key: [] for key in _FORM_LISTS if key in field and field[key] is None}
    if not field.get("label") and isinstance(field.get("variable"), str):
        new["label"] = field["variable"]
    return {**field, **new} if new else field


def aggregator_of_today(data: Mapping) -> Mapping:
    """The aggregator under its old name `variable-assigner`; with items that write, it is an assigner."""
    if data.get("type") != "variable-assigner":
        return data
    variables = data.get("variables")
    writing = mappings(variables)
    if not writing or len(writing) != len(variables or []):
        return {**data, "type": "variable-aggregator"}
    kept = {key: value for key, value in data.items() if key not in ("variables", "output_type")}
    return {**kept, "type": "assigner", "version": "2", "items": [_written(item) for item in writing]}


def _written(item: Mapping) -> Mapping:
    source = item.get("variable_selector") or item.get("value_selector")
    return {
        "variable_selector": ["conversation", str(item.get("variable") or "")],
        "input_type": "variable",
        "operation": item.get("write_mode") or "over-write",
        "value": source,
    }


def assigner_actions(data: Mapping) -> Mapping:
    """The `actions` of an assigner are items; one whose value is a reference and nothing else writes that variable."""
    actions = data.get("actions")
    if not isinstance(actions, list) or not actions or "items" in data:
        return data
    kept = {key: value for key, value in data.items() if key != "actions"}
    return {**kept, "version": "2", "items": [_item(each) if isinstance(each, dict) else each for each in actions]}


def _item(action: Mapping) -> Mapping:
    value = action.get("value")
    reference = _REFERENCE.fullmatch(value.strip()) if isinstance(value, str) else None
    if reference is None:
        return {"input_type": "constant", **action}
    operation = action.get("operation")
    meant = "over-write" if operation in (None, "set") else operation
    return {**action, "operation": meant, "input_type": "variable", "value": reference[1].split(".")}


def assigner_version(data: Mapping) -> Mapping:
    """An assigner with items is of version 2, whatever it says or does not say."""
    if not isinstance(data.get("items"), list) or data.get("version") == "2":
        return data
    return {**data, "version": "2"}


def body_items(data: Mapping) -> Mapping:
    """The text of an HTTP body becomes a list of items: a form's lines one each, any other text the only one."""
    body = data.get("body")
    if body is None:
        return {**data, "body": {"type": "none", "data": []}}
    if not isinstance(body, dict) or isinstance(body.get("data"), list):
        return data
    kind, text = body.get("type") or "none", body.get("data")
    if text is None or text == "" or kind == "none":
        return {**data, "body": {**body, "type": kind, "data": []}}
    if not isinstance(text, str):
        return data
    items = [_text_item("", text)]
    if kind in _FORMS:
        pairs = [line.partition(":") for line in text.splitlines() if line.strip()]
        items = [_text_item(key.strip(), value.strip()) for key, _, value in pairs]
    return {**data, "body": {**body, "data": items}}


def _text_item(key: str, value: str) -> Mapping:
    return {"key": key, "type": "text", "value": value}


def tool_values(data: Mapping) -> Mapping:
    """Parameters and settings of a tool that are plain values say that they are; it is of version 2 then."""
    if data.get("tool_node_version") or data.get("version") == "2":
        return data
    parameters, settings = data.get("tool_parameters"), data.get("tool_configurations")
    new: Mapping = {"tool_parameters": {}, "tool_configurations": {}}
    if isinstance(parameters, dict):
        new["tool_parameters"] = {name: _parameter(value) for name, value in parameters.items()}
    if isinstance(settings, dict):
        if any(isinstance(value, str) and "{{" in value for value in settings.values()):
            return data  # as a constant it would be a template, which it was not
        new["tool_configurations"] = {name: _constant(value) for name, value in settings.items()}
    return {**data, **new, "tool_node_version": "2", "provider_type": data.get("provider_type") or "builtin"}


def _parameter(value: Any) -> Any:
    if isinstance(value, dict) and "type" in value:
        kind = _TOOL_TYPES.get(str(value["type"]), value["type"])
        given = value.get("value", value.get("selector"))
        return {**{key: item for key, item in value.items() if key != "selector"}, "type": kind, "value": given}
    return {"type": "mixed" if isinstance(value, str) else "constant", "value": value}


def _constant(value: Any) -> Any:
    if isinstance(value, dict) and {"type", "value"} <= value.keys():
        return value
    return {"type": "constant", "value": value}


def memory_of_today(data: Mapping) -> Mapping:
    """A memory without a window is none when it is off, and one without a limit when it is on."""
    memory = data.get("memory")
    if not isinstance(memory, dict) or isinstance(memory.get("window"), dict):
        return data
    if memory.get("enabled") is False or not memory:
        return {**data, "memory": None}
    size = memory.get("size") or memory.get("window_size")
    window = {"enabled": isinstance(size, int), "size": size if isinstance(size, int) else None}
    return {**data, "memory": {**memory, "window": window}}


def chat_mode(data: Mapping) -> Mapping:
    """A model without a mode is asked in chat."""
    model = data.get("model")
    if not isinstance(model, dict) or not model.get("name") or model.get("mode"):
        return data
    return {**data, "model": {**model, "mode": "chat"}}


def boolean_parameters(data: Mapping) -> Mapping:
    """The parameter type `bool` is called `boolean`."""
    return changed_items(
        data, "parameters", lambda item: {**item, "type": "boolean"} if item.get("type") == "bool" else item
    )


_MODELS: Final = ("llm", "question-classifier", "parameter-extractor")
NODE_RULES: Final = (
    Rule("null-lists", "Lists were null.", lists_of_today),
    Rule("form-fields", "Fields of the form had null lists or no label.", form_lists, ("start",)),
    *BRANCH_RULES,
    *HAND_RULES,
    Rule("aggregator-name", "An aggregator was called variable-assigner.", aggregator_of_today, ("variable-assigner",)),
    Rule("assigner-actions", "An assigner had actions.", assigner_actions, ("assigner",)),
    Rule("assigner-version", "An assigner did not say its version.", assigner_version, ("assigner",)),
    Rule("http-body", "The body of an HTTP request was one text, or missing.", body_items, ("http-request",)),
    Rule("tool-values", "Values of a tool did not say what they are.", tool_values, ("tool",)),
    Rule("memory", "A memory had no window.", memory_of_today, _MODELS),
    Rule("model-mode", "A model had no mode.", chat_mode, _MODELS),
    Rule("parameter-types", "A parameter was a `bool`.", boolean_parameters, ("parameter-extractor",)),
)
