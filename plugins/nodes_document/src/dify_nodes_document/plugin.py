"""Offers the node type `document-extractor`."""

from __future__ import annotations

from collections.abc import Callable

from dify_kernel.hookspecs import hookimpl

__all__ = ["register_nodes"]


@hookimpl
def register_nodes(register: Callable[..., None]) -> None:
    """Offer the document-extractor node."""
    from dify_nodes_document.node import DocumentExtractorNode

    register(DocumentExtractorNode)
