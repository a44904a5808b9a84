"""Offers the node type `llm`."""

from __future__ import annotations

from collections.abc import Callable

from dify_kernel.hookspecs import hookimpl

__all__ = ["register_nodes"]


@hookimpl
def register_nodes(register: Callable[..., None]) -> None:
    """Offer the llm node."""
    from dify_nodes_llm.node import LLMNode

    register(LLMNode)
