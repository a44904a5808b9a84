"""Offers the node types `agent` and `tool`."""

from __future__ import annotations

from collections.abc import Callable

from dify_kernel.hookspecs import hookimpl

__all__ = ["register_nodes"]


@hookimpl
def register_nodes(register: Callable[..., None]) -> None:
    """Offer the node types of this package."""
    from dify_nodes_agent.agent import AgentNode
    from dify_nodes_agent.tool import ToolNode

    register(AgentNode)
    register(ToolNode)
