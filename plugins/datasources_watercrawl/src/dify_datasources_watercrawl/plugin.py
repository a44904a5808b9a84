"""Hook implementation: offers the data sources of `watercrawl`."""

from __future__ import annotations

from collections.abc import Callable

from dify_kernel.hookspecs import hookimpl

__all__ = ["register_datasources"]


@hookimpl
def register_datasources(register: Callable[..., None]) -> None:
    """Offer the provider."""
    from dify_datasources_watercrawl.provider import WaterCrawlSources

    register(WaterCrawlSources)
