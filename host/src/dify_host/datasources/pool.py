"""The providers of data sources of a process, one object each."""

from __future__ import annotations

from dify_kernel.contracts.datasource import DatasourceProvider, OnlineDocument, OnlineDrive, WebsiteCrawl
from dify_kernel.contracts.http import HttpClient
from dify_kernel.errors import PluginNotFound
from dify_kernel.registry import Offer, Registry

from dify_host.datasources.errors import DatasourceNotFound
from dify_host.models.pool import provider_name

__all__ = ["DatasourcePool", "documents_of", "drive_of", "website_of"]


class DatasourcePool:
    """Builds each installed provider when it is first used."""

    def __init__(self, registry: Registry, http: HttpClient) -> None:
        self._registry = registry
        self._http = http
        self._providers: dict[str, DatasourceProvider] = {}

    def offers(self) -> list[Offer]:
        """The installed providers, sorted by name; imports none."""
        return self._registry.offers("datasources")

    def get(self, provider: str) -> DatasourceProvider:
        """The provider of a name; DatasourceNotFound names the plugin to install, PluginBroken for a broken one."""
        name = provider_name(provider)
        if name not in self._providers:
            try:
                kind: type[DatasourceProvider] = self._registry.get("datasources", name)
            except PluginNotFound as exc:
                installed = ", ".join(self._registry.names("datasources")) or "none"
                raise DatasourceNotFound(
                    f"No installed plugin offers the data source {provider!r}.",
                    hint=f"Install one that does. Installed: {installed}.",
                    provider=provider,
                ) from exc
            self._providers[name] = kind(self._http)
        return self._providers[name]


def website_of(provider: DatasourceProvider, name: str = "") -> WebsiteCrawl:
    """The website source of that name, the first one without a name; DatasourceNotFound."""
    for source in provider.datasources():
        if isinstance(source, WebsiteCrawl) and name in ("", source.name):
            return source
    raise _absent(provider, name or WebsiteCrawl.datasource_type)


def documents_of(provider: DatasourceProvider, name: str = "") -> OnlineDocument:
    """The source of online documents; as `website_of`."""
    for source in provider.datasources():
        if isinstance(source, OnlineDocument) and name in ("", source.name):
            return source
    raise _absent(provider, name or OnlineDocument.datasource_type)


def drive_of(provider: DatasourceProvider, name: str = "") -> OnlineDrive:
    """The online drive; as `website_of`."""
    for source in provider.datasources():
        if isinstance(source, OnlineDrive) and name in ("", source.name):
            return source
    raise _absent(provider, name or OnlineDrive.datasource_type)


def _absent(provider: DatasourceProvider, wanted: str) -> DatasourceNotFound:
    return DatasourceNotFound(
        f"The provider {provider.name} has no data source {wanted!r} of the type that is asked for.",
        hint=f"It has: {', '.join(f'{item.name} ({item.datasource_type})' for item in provider.datasources())}.",
        provider=provider.name,
    )
