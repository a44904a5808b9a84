"""Offers the core node types; the template engine is imported when a template node is built."""

from __future__ import annotations

from collections.abc import Callable

from dify_kernel.hookspecs import hookimpl

from dify_nodes_core.aggregator import AggregatorNode, LegacyAggregatorNode
from dify_nodes_core.answer import AnswerNode
from dify_nodes_core.assigner import AssignerNode
from dify_nodes_core.assigner_v1 import AssignerV1Node
from dify_nodes_core.end import EndNode
from dify_nodes_core.if_else import IfElseNode
from dify_nodes_core.list_operator import ListOperatorNode
from dify_nodes_core.start import StartNode
from dify_nodes_core.template_transform import TemplateTransformNode

__all__ = ["NODES", "register_nodes"]

NODES = (
    StartNode,
    EndNode,
    AnswerNode,
    IfElseNode,
    TemplateTransformNode,
    AggregatorNode,
    LegacyAggregatorNode,
    AssignerV1Node,
    AssignerNode,
    ListOperatorNode,
)


@hookimpl
def register_nodes(register: Callable[..., None]) -> None:
    """Every class of this package."""
    for node in NODES:
        register(node)
