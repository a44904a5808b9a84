"""Hook implementation: offers the time tools."""

from __future__ import annotations

from collections.abc import Callable

from dify_kernel.hookspecs import hookimpl

from dify_tools_time.tools import TimeTools

__all__ = ["register_tools"]


@hookimpl
def register_tools(register: Callable[..., None]) -> None:
    """Offer the family."""
    register(TimeTools)
