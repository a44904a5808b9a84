"""The tool families of installed plugins: which there are, the workspace's credentials for them, and their tools."""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any, Literal

import msgspec
from dify_kernel.contracts.ports import FilesPort
from dify_kernel.contracts.tool import ToolInfo, ToolMessage, ToolProvider
from dify_kernel.errors import PluginError
from dify_kernel.forms import FormField, form_fields, needs_nothing
from dify_kernel.registry import Offer

from dify_host.db.engine import Database
from dify_host.db.tenant import Tenant
from dify_host.identity.credential_sets import StoredCredentials, shown
from dify_host.identity.provider_credentials import DEFAULT_NAME, ProviderCredentials
from dify_host.identity.tenant_keys import TenantKeys
from dify_host.models.pool import provider_name
from dify_host.tools.credentials import ToolCredentialStore
from dify_host.tools.errors import ToolCredentialsMissing
from dify_host.tools.file_contents import with_contents
from dify_host.tools.pool import ToolPool, tool_of
from dify_host.tools.sources import ResolvedTool

__all__ = ["InstalledProvider", "InstalledTools", "ToolCredentialInfo"]


class ToolCredentialInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One set of credentials as responses show it; of secrets the last four characters."""

    id: str
    name: str
    is_default: bool
    credentials: dict[str, Any] = {}


class InstalledProvider(msgspec.Struct, frozen=True, kw_only=True):
    """One installed family; `broken` when its plugin does not load, for the `reason`."""

    provider: str
    distribution: str
    version: str
    status: Literal["ready", "no-credentials", "broken"]
    label: str = ""
    tools: list[ToolInfo] = []
    fields: list[FormField] = []
    credentials: list[ToolCredentialInfo] = []
    reason: str = ""


class InstalledTools(ProviderCredentials[ToolProvider]):
    """The installed families in one workspace. Names resolve: `langgenius/time/time` and `time` are the same."""

    longest_name = 30

    def __init__(self, db: Database, tenant: Tenant, pool: ToolPool, keys: TenantKeys, files: FilesPort) -> None:
        self._pool = pool
        self._files = files
        self._store = ToolCredentialStore(db, tenant, keys)

    async def list(self) -> builtins.list[InstalledProvider]:
        """Every installed family by name; a broken plugin is listed with the reason."""
        stored = await self._store.list()
        return [await self._info(offer, stored) for offer in self._pool.offers()]

    async def get(self, provider: str) -> InstalledProvider:
        """One family; ToolProviderNotFound."""
        name = provider_name(provider)
        self._pool.get(provider)
        offer = next(offer for offer in self._pool.offers() if offer.name == name)
        return await self._info(offer, await self._store.list(name))

    async def add_credentials(
        self, provider: str, credentials: Mapping[str, Any], *, name: str = DEFAULT_NAME, user_id: str
    ) -> InstalledProvider:
        """Check credentials with the service behind the tools and keep them; the first set is the default.

        BadInput for an unknown or missing field, Conflict for a taken name, CredentialsValidateFailedError.
        """
        await self._add(provider, self._checked_name(name), credentials, user_id)
        return await self.get(provider)

    async def update_credentials(
        self,
        provider: str,
        credential_id: str,
        *,
        credentials: Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> InstalledProvider:
        """Rename a set or replace what it holds; a secret sent as `[__HIDDEN__]` stays as it is."""
        await self._update(provider, credential_id, credentials, name)
        return await self.get(provider)

    async def resolve(self, provider: str, tool: str, credential_id: str | None) -> ResolvedTool:
        """A tool with the credentials of that id, else the default ones."""
        family = self._pool.get(provider)
        info = tool_of(family.tools(), tool, provider)
        opened = await self._opened(family, provider_name(provider), credential_id)
        return ResolvedTool(info, partial(self._call, family, info, opened))

    async def _call(
        self, family: ToolProvider, info: ToolInfo, credentials: Any, parameters: Mapping[str, Any], _key: str
    ) -> AsyncIterator[ToolMessage]:
        loaded = await with_contents(parameters, self._files)
        async for message in family.invoke(info.name, loaded, credentials):
            yield message

    def _provider(self, name: str) -> ToolProvider:
        return self._pool.get(name)

    async def _check(self, provider: ToolProvider, credentials: Any) -> None:
        await provider.validate(credentials)

    def _missing(self, name: str) -> ToolCredentialsMissing:
        return ToolCredentialsMissing(
            f"The tool provider {name} has no credentials in this workspace.",
            hint="Add them under Tools.",
            provider=name,
        )

    async def _info(self, offer: Offer, stored: builtins.list[StoredCredentials]) -> InstalledProvider:
        head: dict[str, Any] = {"provider": offer.name, "distribution": offer.distribution, "version": offer.version}
        try:
            family = self._pool.get(offer.name)
        except PluginError as exc:
            return InstalledProvider(**head, status="broken", reason=str(exc))
        own = [item for item in stored if item.provider == offer.name]
        ready = bool(own) or needs_nothing(family.Credentials)
        return InstalledProvider(
            **head,
            status="ready" if ready else "no-credentials",
            label=family.label,
            tools=builtins.list(family.tools()),
            fields=form_fields(family.Credentials),
            credentials=[await self._shown(item, family) for item in own],
        )

    async def _shown(self, stored: StoredCredentials, family: ToolProvider) -> ToolCredentialInfo:
        values = await shown(self._store.open(stored, family.Credentials))
        return ToolCredentialInfo(id=stored.id, name=stored.name, is_default=stored.is_default, credentials=values)
