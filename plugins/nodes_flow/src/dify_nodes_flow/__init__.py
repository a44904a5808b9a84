"""Nodes with nodes inside: iteration over a list, and loop until a condition holds."""

from dify_nodes_flow.plugin import register_nodes

__all__ = ["register_nodes"]
