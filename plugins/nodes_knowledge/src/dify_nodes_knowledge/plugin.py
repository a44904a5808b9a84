"""Offers the node types of knowledge bases: retrieval, and the two ends of a pipeline."""

from __future__ import annotations

from collections.abc import Callable

from dify_kernel.hookspecs import hookimpl

__all__ = ["register_nodes"]


@hookimpl
def register_nodes(register: Callable[..., None]) -> None:
    """Offer the nodes of this package."""
    from dify_nodes_knowledge.datasource import DatasourceNode
    from dify_nodes_knowledge.index import KnowledgeIndexNode
    from dify_nodes_knowledge.node import KnowledgeRetrievalNode

    for node in (KnowledgeRetrievalNode, DatasourceNode, KnowledgeIndexNode):
        register(node)
