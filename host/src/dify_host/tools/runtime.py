"""The tools port of a run. Tool providers are not connected yet: every call says so."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from dify_kernel.contracts.tool import ToolInfo, ToolMessage
from dify_kernel.errors import NotImplementedYet

__all__ = ["ToolRuntime"]


class ToolRuntime:
    """Fulfils the nodes' tools port."""

    async def describe(
        self, provider_type: str, provider: str, tool: str, *, credential_id: str | None = None
    ) -> ToolInfo:
        """Refuse, naming the tool."""
        raise NotImplementedYet(f"Tools do not run yet; {provider}/{tool} was asked for.")

    async def invoke(
        self,
        provider_type: str,
        provider: str,
        tool: str,
        parameters: Mapping[str, Any],
        *,
        credential_id: str | None = None,
    ) -> AsyncIterator[ToolMessage]:
        """Refuse the call, naming the tool."""
        raise NotImplementedYet(f"Tools do not run yet; {provider}/{tool} was asked for.")
        yield  # an iterator, as the port promises
