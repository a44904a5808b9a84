"""The names of the variables that nodes of the DSL give, where their data tells; for checking references."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from dify_host.apps.old_forms.rule import mappings

__all__ = ["outputs_of"]

_FIXED: Final[dict[str, frozenset[str]]] = {
    "answer": frozenset(("answer", "files")),
    "document-extractor": frozenset(("text",)),
    "http-request": frozenset(("status_code", "body", "headers", "files")),
    "if-else": frozenset(("result", "selected_case_id")),
    "iteration": frozenset(("output", "item", "index")),
    "knowledge-retrieval": frozenset(("result",)),
    "list-operator": frozenset(("result", "first_record", "last_record")),
    "llm": frozenset(("text", "reasoning_content", "usage", "finish_reason", "structured_output", "files")),
    "question-classifier": frozenset(("class_name", "class_id", "class_label", "usage")),
    "template-transform": frozenset(("output",)),
}
#: Node types whose data lists what they give: the key of the list, the key of a name in it, and what comes besides.
_LISTED: Final = {
    "loop": ("loop_variables", "label", frozenset(("loop_round", "index"))),
    "parameter-extractor": ("parameters", "name", frozenset(("__is_success", "__reason", "__usage"))),
    "start": ("variables", "variable", frozenset[str]()),
}
_CAUGHT: Final = frozenset(("error_message", "error_type"))


def outputs_of(data: Mapping[str, Any]) -> frozenset[str] | None:
    """The names that a node's `data` gives; None when they cannot be told from it."""
    kind = str(data.get("type") or "")
    names = _FIXED.get(kind)
    if kind in _LISTED:
        key, field, more = _LISTED[kind]
        names = more | {str(item.get(field)) for item in mappings(data.get(key))}
    elif kind == "code":
        outputs = data.get("outputs")
        names = frozenset(outputs) if isinstance(outputs, dict) else frozenset()
    elif kind == "variable-aggregator":
        names = _aggregated(data)
    return names | _CAUGHT if names is not None and data.get("error_strategy") else names


def _aggregated(data: Mapping[str, Any]) -> frozenset[str]:
    advanced = data.get("advanced_settings")
    if isinstance(advanced, dict) and advanced.get("group_enabled"):
        return frozenset(str(group.get("group_name")) for group in mappings(advanced.get("groups")))
    return frozenset(("output",))
