"""Hook implementation: offers the data sources of `jinareader`."""

from __future__ import annotations

from collections.abc import Callable

from dify_kernel.hookspecs import hookimpl

__all__ = ["register_datasources"]


@hookimpl
def register_datasources(register: Callable[..., None]) -> None:
    """Offer the provider."""
    from dify_datasources_jina.provider import JinaSources

    register(JinaSources)
