"""Brings a document to the form of today, and tells what was changed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from dify_host.apps.old_forms.canvas import CANVAS_RULES
from dify_host.apps.old_forms.configurations import CONFIG_RULES
from dify_host.apps.old_forms.containers import CONTAINER_RULES
from dify_host.apps.old_forms.documents import DOCUMENT_RULES
from dify_host.apps.old_forms.node_data import NODE_RULES
from dify_host.apps.old_forms.rule import Change, Mapping, Rule, mappings

__all__ = ["ALL_RULES", "modernised"]

_GRAPH_RULES: Final = (*CANVAS_RULES, *CONTAINER_RULES)
#: Every rule in the order in which they are applied.
ALL_RULES: Final = (*DOCUMENT_RULES, *_GRAPH_RULES, *NODE_RULES, *CONFIG_RULES)


def modernised(document: Mapping) -> tuple[Mapping, list[Change]]:
    """The document in the form of today; itself when it has it already. What is of no known form stays as it is."""
    document, changes = _applied(document, DOCUMENT_RULES)
    workflow = document.get("workflow")
    if isinstance(workflow, dict) and isinstance(workflow.get("graph"), dict):
        graph, more = _graph(workflow["graph"])
        if more:
            document = {**document, "workflow": {**workflow, "graph": graph}}
            changes += more
    config = document.get("model_config")
    if isinstance(config, dict):
        config, more = _applied(config, CONFIG_RULES)
        if more:
            document = {**document, "model_config": config}
            changes += more
    return document, changes


def _graph(graph: Mapping) -> tuple[Mapping, list[Change]]:
    changes: list[Change] = []
    for rule in _GRAPH_RULES:
        new = rule.apply(graph)
        if new is not graph:
            changes += _named(rule, _changed_nodes(graph, new))
        graph = new
    nodes = graph.get("nodes")
    if isinstance(nodes, list):
        done = [_node(node) if isinstance(node, dict) else (node, []) for node in nodes]
        found = [change for _, more in done for change in more]
        if found:
            graph = {**graph, "nodes": [node for node, _ in done]}
            changes += found
    return graph, changes


def _node(node: Mapping) -> tuple[Mapping, list[Change]]:
    data = node.get("data")
    if not isinstance(data, dict):
        return node, []
    new, changes = _applied(data, NODE_RULES, str(node.get("id") or "") or None)
    return ({**node, "data": new} if changes else node), changes


def _applied(value: Mapping, rules: Iterable[Rule], node_id: str | None = None) -> tuple[Mapping, list[Change]]:
    changes = []
    for rule in rules:
        if rule.types and value.get("type") not in rule.types:
            continue
        new = rule.apply(value)
        if new is not value:
            changes += _named(rule, [node_id])
        value = new
    return value, changes


def _changed_nodes(old: Mapping, new: Mapping) -> list[str | None]:
    """The ids of the nodes that are not what they were; [None] when only edges are not."""
    known = {id(node) for node in mappings(old.get("nodes"))}
    found: list[Any] = [str(node.get("id") or "") for node in mappings(new.get("nodes")) if id(node) not in known]
    return found or [None]


def _named(rule: Rule, node_ids: list[str | None]) -> list[Change]:
    return [Change(code=rule.code, message=rule.message, node_id=node_id) for node_id in node_ids]
