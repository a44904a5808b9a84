"""The tool families of a process, one object each."""

from __future__ import annotations

from collections.abc import Sequence

from dify_kernel.contracts.http import HttpClient
from dify_kernel.contracts.tool import ToolInfo, ToolProvider
from dify_kernel.errors import PluginNotFound
from dify_kernel.registry import Offer, Registry

from dify_host.models.pool import provider_name
from dify_host.tools.errors import ToolNotFound, ToolProviderNotFound

__all__ = ["ToolPool", "tool_of"]


class ToolPool:
    """Builds each installed family when it is first used."""

    def __init__(self, registry: Registry, http: HttpClient) -> None:
        self._registry = registry
        self._http = http
        self._families: dict[str, ToolProvider] = {}

    def offers(self) -> list[Offer]:
        """The installed families, sorted by name; imports none."""
        return self._registry.offers("tools")

    def get(self, provider: str) -> ToolProvider:
        """The family of a name: `json_process` and `langgenius/json_process/json_process` are the same.

        ToolProviderNotFound names the plugin to install; PluginBroken for one that does not load.
        """
        name = provider_name(provider)
        if name not in self._families:
            try:
                kind: type[ToolProvider] = self._registry.get("tools", name)
            except PluginNotFound as exc:
                installed = ", ".join(self._registry.names("tools")) or "none"
                raise ToolProviderNotFound(
                    f"No installed plugin offers the tool provider {provider!r}.",
                    hint=f"Install it: pip install dify-tools-{name.replace('_', '-')}. Installed: {installed}.",
                    provider=provider,
                ) from exc
            self._families[name] = kind(self._http)
        return self._families[name]


def tool_of(tools: Sequence[ToolInfo], name: str, provider: str) -> ToolInfo:
    """The tool of a name; ToolNotFound names those that there are."""
    for tool in tools:
        if tool.name == name:
            return tool
    raise ToolNotFound(
        f"The provider {provider} has no tool {name!r}.",
        hint=f"It has: {', '.join(tool.name for tool in tools) or 'none'}.",
        provider=provider,
        tool=name,
    )
