"""Offers the node type `http-request`."""

from __future__ import annotations

from collections.abc import Callable

from dify_kernel.hookspecs import hookimpl

__all__ = ["register_nodes"]


@hookimpl
def register_nodes(register: Callable[..., None]) -> None:
    """Offer the http-request node."""
    from dify_nodes_http.node import HttpRequestNode

    register(HttpRequestNode)
