"""The tools port of a run: finds the tool that a name stands for, prepares its parameters, calls it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from typing import Any, cast

from dify_kernel.contracts.tool import ToolInfo, ToolMessage
from dify_kernel.errors import DifyError, ToolError

from dify_host.tools.parameters import prepare_parameters
from dify_host.tools.sources import ResolvedTool, ToolSource

__all__ = ["ToolRuntime"]


class ToolRuntime:
    """Fulfils the nodes' tools port for one run; `source` gives what offers the tools of a `provider_type`."""

    def __init__(self, source: Callable[[str], ToolSource]) -> None:
        self._source = source
        self._resolved: dict[tuple[str, str, str, str | None], ResolvedTool] = {}

    async def describe(
        self, provider_type: str, provider: str, tool: str, *, credential_id: str | None = None
    ) -> ToolInfo:
        """What a tool takes and is for; NotFound for one that neither a plugin nor the workspace offers."""
        return (await self._resolve(provider_type, provider, tool, credential_id)).info

    async def invoke(
        self,
        provider_type: str,
        provider: str,
        tool: str,
        parameters: Mapping[str, Any],
        *,
        credential_id: str | None = None,
        key: str = "",
    ) -> AsyncIterator[ToolMessage]:
        """The messages of one call; ToolError for a wrong parameter and for whatever the tool fails with."""
        found = await self._resolve(provider_type, provider, tool, credential_id)
        prepared = prepare_parameters(found.info, parameters)
        try:
            # Closed with this iterator: a run that is stopped leaves no half-read answer behind.
            async with aclosing(cast("Any", found.call(prepared, key))) as messages:
                async for message in messages:
                    yield message
        except DifyError:
            raise
        except Exception as exc:
            raise ToolError(
                f"The tool {provider}/{tool} failed: {type(exc).__name__}: {exc}.",
                hint="Report this to the author of its plugin.",
                tool=tool,
            ) from exc

    async def _resolve(self, provider_type: str, provider: str, tool: str, credential_id: str | None) -> ResolvedTool:
        key = (provider_type, provider, tool, credential_id)
        if key not in self._resolved:
            self._resolved[key] = await self._source(provider_type).resolve(provider, tool, credential_id)
        return self._resolved[key]
