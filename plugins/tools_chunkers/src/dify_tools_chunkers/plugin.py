"""Hook implementation: offers the three families of chunkers."""

from __future__ import annotations

from collections.abc import Callable

from dify_kernel.hookspecs import hookimpl

__all__ = ["register_tools"]


@hookimpl
def register_tools(register: Callable[..., None]) -> None:
    """Offer each family."""
    from dify_tools_chunkers.tools import GeneralChunker, ParentChildChunker, QaChunker

    for family in (GeneralChunker, ParentChildChunker, QaChunker):
        register(family)
