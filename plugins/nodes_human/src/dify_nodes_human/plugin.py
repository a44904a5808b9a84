"""Offers the node type `human-input`."""

from __future__ import annotations

from collections.abc import Callable

from dify_kernel.hookspecs import hookimpl

__all__ = ["register_nodes"]


@hookimpl
def register_nodes(register: Callable[..., None]) -> None:
    """Offer the human-input node."""
    from dify_nodes_human.node import HumanInputNode

    register(HumanInputNode)
