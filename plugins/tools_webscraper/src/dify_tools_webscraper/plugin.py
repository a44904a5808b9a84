"""Hook implementation: offers the family `webscraper`."""

from __future__ import annotations

from collections.abc import Callable

from dify_kernel.hookspecs import hookimpl

__all__ = ["register_tools"]


@hookimpl
def register_tools(register: Callable[..., None]) -> None:
    """Offer the family."""
    from dify_tools_webscraper.tools import WebscraperTools

    register(WebscraperTools)
