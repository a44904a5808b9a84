"""Where tools come from: what every kind of provider offers to the runtime."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Protocol

import msgspec
from dify_kernel.contracts.tool import ToolInfo, ToolMessage

__all__ = ["ResolvedTool", "ToolSource"]


class ResolvedTool(msgspec.Struct, frozen=True):
    """One tool, ready to be called with parameters in its types and a key for effects that may be repeated."""

    info: ToolInfo
    call: Callable[[Mapping[str, Any], str], AsyncIterator[ToolMessage]]


class ToolSource(Protocol):
    """One kind of provider in one workspace."""

    async def resolve(self, provider: str, tool: str, credential_id: str | None) -> ResolvedTool:
        """A tool by its names; ToolProviderNotFound, ToolNotFound, ToolCredentialsMissing."""
        ...
