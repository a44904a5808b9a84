"""The providers of data sources in one workspace: which there are, and its credentials for them."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from dify_kernel.contracts.datasource import Datasource, DatasourceProvider
from dify_kernel.errors import NotFound, PluginError
from dify_kernel.forms import FormField, form_fields, needs_nothing
from dify_kernel.registry import Offer

from dify_host.datasources.errors import DatasourceCredentialsMissing
from dify_host.datasources.pool import DatasourcePool
from dify_host.datasources.tables import datasource_providers
from dify_host.db.engine import Database
from dify_host.db.tenant import Tenant
from dify_host.identity.credential_sets import CredentialSets, StoredCredentials, shown
from dify_host.identity.provider_credentials import ProviderCredentials
from dify_host.identity.tenant_keys import TenantKeys
from dify_host.models.pool import provider_name

__all__ = ["DatasourceInfo", "DatasourceProviderInfo", "InstalledDatasources", "KeptCredentials"]


class DatasourceCredentialStore(CredentialSets):
    """The data source credentials of one workspace."""

    table = datasource_providers

    def _more(self, user_id: str) -> dict[str, Any]:
        return {"plugin_id": "", "created_by": user_id}


class KeptCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """One set of credentials as responses show it; of secrets the last four characters."""

    id: str
    name: str
    type: str = "api-key"
    is_default: bool = False
    avatar_url: str = ""
    credential: dict[str, Any] = {}


class DatasourceInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One source of a provider."""

    name: str
    type: str
    label: str
    description: str
    parameters: list[FormField]


class DatasourceProviderInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One installed provider; `broken` when its plugin does not load, for the `reason`."""

    provider: str
    distribution: str
    version: str
    status: Literal["ready", "no-credentials", "broken"]
    label: str = ""
    sources: list[DatasourceInfo] = []
    fields: list[FormField] = []
    credentials: list[KeptCredentials] = []
    reason: str = ""


class InstalledDatasources(ProviderCredentials[DatasourceProvider]):
    """The installed providers in one workspace. Names resolve: `langgenius/x_datasource/x` and `x` are the same."""

    longest_name = 100

    def __init__(self, db: Database, tenant: Tenant, pool: DatasourcePool, keys: TenantKeys) -> None:
        self._pool = pool
        self._store = DatasourceCredentialStore(db, tenant, keys)

    async def list(self) -> builtins.list[DatasourceProviderInfo]:
        """Every installed provider by name; a broken plugin is listed with the reason."""
        stored = await self._store.list()
        return [await self._info(offer, stored) for offer in self._pool.offers()]

    async def get(self, provider: str) -> DatasourceProviderInfo:
        """One provider; DatasourceNotFound."""
        name = provider_name(provider)
        self._pool.get(provider)
        offer = next(offer for offer in self._pool.offers() if offer.name == name)
        return await self._info(offer, await self._store.list(name))

    async def stored(self) -> builtins.list[StoredCredentials]:
        """Every set of credentials, still encrypted, also those for plugins that are not installed any more."""
        return await self._store.list()

    async def add_credentials(
        self, provider: str, credentials: Mapping[str, Any], *, name: str | None = None, user_id: str
    ) -> str:
        """Check credentials with the service and keep them; returns their id. The first set is the default.

        BadInput for an unknown or missing field, Conflict for a taken name, CredentialsValidateFailedError.
        """
        label = self._checked_name(name) if name else await self._free_name(provider_name(provider))
        return await self._add(provider, label, credentials, user_id)

    async def update_credentials(
        self,
        provider: str,
        credential_id: str,
        *,
        credentials: Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> None:
        """Rename a set or replace what it holds; a secret sent as `[__HIDDEN__]` stays as it is. NotFound."""
        await self._update(provider, credential_id, credentials, name)

    # -- to read with -----------------------------------------------------------------------------------------

    async def opened(self, provider: str, credential_id: str | None = None) -> tuple[DatasourceProvider, Any]:
        """A provider with the credentials of that id, else the default ones.

        DatasourceNotFound, NotFound for an unknown id, DatasourceCredentialsMissing.
        """
        found = self._pool.get(provider)
        return found, await self._opened(found, provider_name(provider), credential_id)

    def provider(self, name: str) -> DatasourceProvider:
        """An installed provider; DatasourceNotFound."""
        return self._pool.get(name)

    async def provider_of(self, credential_id: str) -> str:
        """The provider that a set of credentials is for; NotFound."""
        for stored in await self._store.list():
            if stored.id == credential_id:
                return stored.provider
        raise NotFound("Credential not found.", hint="Choose another.", credential=credential_id)

    # -- inside -----------------------------------------------------------------------------------------------

    def _provider(self, name: str) -> DatasourceProvider:
        return self.provider(name)

    async def _check(self, provider: DatasourceProvider, credentials: Any) -> None:
        await provider.check(credentials)

    def _missing(self, name: str) -> DatasourceCredentialsMissing:
        return DatasourceCredentialsMissing(
            f"The data source {name} has no credentials in this workspace.",
            hint="Add them under data sources.",
            provider=name,
        )

    async def _free_name(self, provider: str) -> str:
        taken = {stored.name for stored in await self._store.list(provider)}
        return next(name for number in range(1, len(taken) + 2) if (name := f"API KEY {number}") not in taken)

    async def _info(self, offer: Offer, stored: builtins.list[StoredCredentials]) -> DatasourceProviderInfo:
        head: dict[str, Any] = {"provider": offer.name, "distribution": offer.distribution, "version": offer.version}
        try:
            provider = self._pool.get(offer.name)
        except PluginError as exc:
            return DatasourceProviderInfo(**head, status="broken", reason=str(exc))
        own = [item for item in stored if item.provider == offer.name]
        ready = bool(own) or needs_nothing(provider.Credentials)
        return DatasourceProviderInfo(
            **head,
            status="ready" if ready else "no-credentials",
            label=provider.label,
            sources=[_source(source) for source in provider.datasources()],
            fields=form_fields(provider.Credentials),
            credentials=[await self._shown(item, provider) for item in own],
        )

    async def _shown(self, stored: StoredCredentials, provider: DatasourceProvider) -> KeptCredentials:
        values = await shown(self._store.open(stored, provider.Credentials))
        return KeptCredentials(id=stored.id, name=stored.name, is_default=stored.is_default, credential=values)


def _source(source: Datasource) -> DatasourceInfo:
    return DatasourceInfo(
        name=source.name,
        type=source.datasource_type,
        label=source.label,
        description=source.description,
        parameters=form_fields(source.Parameters),
    )
