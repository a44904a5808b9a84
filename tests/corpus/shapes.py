"""What a graph compiles to, as plain values that can be compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from dify_kernel.errors import InvalidGraph
from dify_kernel.graph.plan import Plan, PlanNode, compile_plan
from dify_kernel.registry import Registry

__all__ = ["shape_of"]


def shape_of(graph: Mapping[str, Any], registry: Registry) -> Any:
    """The plan of a graph, or everything that keeps it from being one."""
    try:
        return _plan(compile_plan(graph, registry.node))
    except InvalidGraph as exc:
        return sorted((item.code, item.node_id or "", item.message, item.severity) for item in exc.problems)


def _plan(plan: Plan) -> dict[str, Any]:
    return {
        "nodes": [_node(node) for node in plan.nodes],
        "edges": [(edge.source, edge.handle, edge.target) for edge in plan.edges],
        "root": plan.root,
        "order": plan.order,
        "responses": plan.responses,
        "warnings": sorted((item.code, item.node_id or "", item.message) for item in plan.warnings),
    }


def _node(node: PlanNode) -> dict[str, Any]:
    made = type(node.node)
    return {
        "id": node.id,
        "class": f"{made.__module__}.{made.__qualname__}",
        "title": node.title,
        "config": msgspec.to_builtins(node.node.config, enc_hook=repr),
        "strategy": node.strategy,
        "retry": msgspec.to_builtins(node.retry),
        "defaults": repr(node.defaults),
        "branching": node.branching,
        "edges": (node.incoming, node.outgoing),
        "body": _plan(node.body) if node.body else None,
    }
