"""The provider objects of a process, one a vendor, and a brief memory of opened credentials."""

from __future__ import annotations

from typing import Any, Final

from dify_kernel.contracts.model import ModelProvider, ProviderPorts
from dify_kernel.registry import Registry

from dify_host.lru import Lru

__all__ = ["ProviderPool", "provider_name"]

_CREDENTIALS: Final = 1000
_CREDENTIALS_TTL: Final = 10.0  # seconds until a change made by another process is seen


def provider_name(text: str) -> str:
    """The registered name behind a provider id: `langgenius/openai/openai` and `openai` are both `openai`."""
    return text.strip().rstrip("/").rpartition("/")[2]


class ProviderPool:
    """Builds each provider when it is first used; `close` releases them all."""

    def __init__(self, registry: Registry, ports: ProviderPorts) -> None:
        self._registry = registry
        self._ports = ports
        self._providers: dict[str, ModelProvider] = {}
        #: Opened credentials by workspace and provider; `forget` drops them when they change.
        self.credentials: Lru[tuple[str, str], Any] = Lru(_CREDENTIALS, _CREDENTIALS_TTL)

    def kind(self, provider: str) -> type[ModelProvider]:
        """The class of a provider; PluginNotFound or PluginBroken."""
        found: type[ModelProvider] = self._registry.get("providers", provider_name(provider))
        return found

    def get(self, provider: str) -> ModelProvider:
        """The process's one object of a provider; PluginNotFound or PluginBroken."""
        name = provider_name(provider)
        if name not in self._providers:
            self._providers[name] = self.kind(name)(self._ports)
        return self._providers[name]

    def forget(self, tenant_id: str, provider: str) -> None:
        """Drop the opened credentials of a workspace."""
        self.credentials.drop(lambda key, _: key == (tenant_id, provider))

    async def close(self) -> None:
        """Close every provider that was built; closing twice is harmless."""
        providers, self._providers = list(self._providers.values()), {}
        for provider in providers:
            await provider.close()
