"""Offers the node types `iteration` and `loop`, and the parts that stand inside them."""

from __future__ import annotations

from collections.abc import Callable

from dify_kernel.hookspecs import hookimpl

__all__ = ["register_nodes"]


@hookimpl
def register_nodes(register: Callable[..., None]) -> None:
    """Offer both containers and their parts."""
    from dify_nodes_flow.iteration import IterationNode
    from dify_nodes_flow.loop import LoopNode
    from dify_nodes_flow.parts import IterationStart, LoopEnd, LoopStart

    for node in (IterationNode, IterationStart, LoopNode, LoopStart, LoopEnd):
        register(node)
