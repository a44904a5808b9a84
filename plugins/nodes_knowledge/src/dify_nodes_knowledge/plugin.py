"""Offers the node type `knowledge-retrieval`."""

from __future__ import annotations

from collections.abc import Callable

from dify_kernel.hookspecs import hookimpl

__all__ = ["register_nodes"]


@hookimpl
def register_nodes(register: Callable[..., None]) -> None:
    """Offer the knowledge-retrieval node."""
    from dify_nodes_knowledge.node import KnowledgeRetrievalNode

    register(KnowledgeRetrievalNode)
