"""Old forms of nodes and edges as a canvas has them: ids, types, handles, and what stands there twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from dify_host.apps.old_forms.rule import Mapping, Rule, changed_items, mappings

__all__ = [
    "CANVAS_RULES",
    "lists_of_today",
    "plain_handles",
    "text_ids",
    "type_in_data",
    "without_repeated_edges",
    "without_repeated_nodes",
]

#: Node types of the DSL that have a dash, by the form with an underscore that people write by hand.
_DASHED: Final = {
    name.replace("-", "_"): name
    for name in (
        "document-extractor",
        "http-request",
        "human-input",
        "if-else",
        "iteration-start",
        "knowledge-index",
        "knowledge-retrieval",
        "list-operator",
        "loop-end",
        "loop-start",
        "parameter-extractor",
        "question-classifier",
        "template-transform",
        "trigger-plugin",
        "trigger-schedule",
        "trigger-webhook",
        "variable-aggregator",
        "variable-assigner",
    )
}
_CANVAS_TYPES: Final = {"custom-iteration-start": "iteration-start", "custom-loop-start": "loop-start"}
_END_KEYS: Final = ("source", "target", "sourceHandle", "targetHandle")
_NODE_REFERENCES: Final = ("iteration_id", "loop_id", "start_node_id")


def lists_of_today(graph: Mapping) -> Mapping:
    """Nodes or edges that are null become empty lists."""
    null = [key for key in ("nodes", "edges") if key in graph and graph[key] is None]
    return {**graph, **{key: [] for key in null}} if null else graph


def text_ids(graph: Mapping) -> Mapping:
    """Ids that YAML read as numbers become texts, wherever they are named."""
    numbers = {node["id"] for node in mappings(graph.get("nodes")) if _is_number(node.get("id"))}
    new = changed_items(graph, "nodes", lambda node: _node_with_text_ids(node, numbers))
    return changed_items(new, "edges", _edge_with_text_ids)


def _node_with_text_ids(node: Mapping, numbers: set[int]) -> Mapping:
    new: Mapping = {key: str(node[key]) for key in ("id", "parentId") if _is_number(node.get(key))}
    data = node.get("data")
    if isinstance(data, dict):
        told = {key: str(data[key]) for key in _NODE_REFERENCES if _is_number(data.get(key))}
        renamed = {**_selectors_as_text(data, numbers), **told} if numbers else {**data, **told}
        if told or renamed != data:
            new["data"] = renamed
    return {**node, **new} if new else node


def _selectors_as_text(value: Any, numbers: set[int]) -> Any:
    """The value with each list that begins with a number that is a node's id as texts."""
    if isinstance(value, dict):
        return {key: _selectors_as_text(item, numbers) for key, item in value.items()}
    if not isinstance(value, list):
        return value
    if value and _is_number(value[0]) and value[0] in numbers:
        return [str(item) if _is_number(item) else item for item in value]
    return [_selectors_as_text(item, numbers) for item in value]


def _edge_with_text_ids(edge: Mapping) -> Mapping:
    new = {key: str(edge[key]) for key in ("id", *_END_KEYS) if _is_number(edge.get(key))}
    return {**edge, **new} if new else edge


def plain_handles(graph: Mapping) -> Mapping:
    """An edge without handles gets the plain ones, one that YAML read as true or false the text."""
    return changed_items(graph, "edges", _with_handles)


def _with_handles(edge: Mapping) -> Mapping:
    new: Mapping = {}
    for key, plain in (("sourceHandle", "source"), ("targetHandle", "target")):
        handle = edge.get(key)
        if isinstance(handle, bool):
            new[key] = "true" if handle else "false"
        elif handle in (None, "") or (key == "sourceHandle" and handle == "success-branch"):
            new[key] = plain
    return {**edge, **new} if new else edge


def type_in_data(graph: Mapping) -> Mapping:
    """The node type moves from the canvas node to its data, and has dashes."""
    return changed_items(graph, "nodes", _with_type)


def _with_type(node: Mapping) -> Mapping:
    data, shown = node.get("data"), node.get("type")
    if not isinstance(data, dict):
        return node
    kind = data.get("type")
    if kind is None and isinstance(shown, str):
        kind = _CANVAS_TYPES.get(shown) or ("" if shown.startswith("custom") else shown)
    if not isinstance(kind, str) or not kind:
        return node
    kind = _DASHED.get(kind, kind)
    canvas = "custom" if isinstance(shown, str) and not shown.startswith("custom") else shown
    if (kind, canvas) == (data.get("type"), shown):
        return node
    return {**node, "type": canvas or "custom", "data": {**data, "type": kind}}


def without_repeated_edges(graph: Mapping) -> Mapping:
    """Of edges that lead from one handle to one node the first stays."""
    return _once(graph, "edges", lambda edge: [str(edge.get(key) or "") for key in _END_KEYS[:3]])


def without_repeated_nodes(graph: Mapping) -> Mapping:
    """Of nodes that are the same in id and data the first stays; nodes that differ are left to be told."""
    return _once(graph, "nodes", lambda node: [str(node.get("id") or ""), node.get("data")])


def _once(graph: Mapping, key: str, identity: Callable[[Mapping], list[Any]]) -> Mapping:
    items = graph.get(key)
    if not isinstance(items, list):
        return graph
    seen: set[bytes] = set()
    kept = []
    for item in items:
        parts = identity(item) if isinstance(item, dict) else [""]
        mark = msgspec.json.encode(parts, order="deterministic")
        if parts[0] and mark in seen:
            continue
        seen.add(mark)
        kept.append(item)
    return {**graph, key: kept} if len(kept) < len(items) else graph


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


CANVAS_RULES: Final = (
    Rule("null-lists", "Nodes or edges were null.", lists_of_today),
    Rule("number-ids", "Ids were numbers.", text_ids),
    Rule("handles", "Edges had no handles, or others than today.", plain_handles),
    Rule("node-types", "Node types stood beside the data, or had underscores.", type_in_data),
    Rule("repeated-nodes", "A node stood there twice.", without_repeated_nodes),
    Rule("repeated-edges", "An edge stood there twice.", without_repeated_edges),
)
