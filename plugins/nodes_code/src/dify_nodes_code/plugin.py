"""Offers the node type `code`."""

from __future__ import annotations

from collections.abc import Callable

from dify_kernel.hookspecs import hookimpl

__all__ = ["register_nodes"]


@hookimpl
def register_nodes(register: Callable[..., None]) -> None:
    """Offer the code node."""
    from dify_nodes_code.node import CodeNode

    register(CodeNode)
