"""The model providers of a workspace: which there are, their credentials, their models, and the defaults."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from dify_kernel.contracts.model import ModelInfo, ModelProvider, ModelType
from dify_kernel.errors import BadInput, PluginError
from dify_kernel.forms import FormField, decode_form, form_fields, needs_nothing
from dify_kernel.registry import Offer, Registry

from dify_host.db.engine import Database
from dify_host.db.repository import TenantRepository
from dify_host.db.statements import upsert
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id, utc_now
from dify_host.identity.credential_sets import readable, shown
from dify_host.identity.tenant_keys import TenantKeys
from dify_host.models.credentials import CredentialStore, StoredCredentials
from dify_host.models.errors import ProviderTokenNotInitError
from dify_host.models.pool import ProviderPool, provider_name
from dify_host.models.tables import tenant_default_models

__all__ = ["CredentialInfo", "DefaultModel", "ModelStatus", "ProviderInfo", "ProviderModels", "ProviderService"]

DEFAULT_NAME = "API KEY 1"
_LONGEST_NAME = 255


class CredentialInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One set of credentials as responses show it; of secrets the last four characters."""

    id: str
    name: str
    active: bool
    credentials: dict[str, Any] = {}


class ProviderInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One installed provider; `broken` when its plugin does not load, for the `reason`."""

    provider: str
    distribution: str
    version: str
    status: Literal["active", "no-configure", "broken"]
    label: str = ""
    description: str = ""
    model_types: list[ModelType] = []
    customizable: bool = False
    fields: list[FormField] = []
    credentials: list[CredentialInfo] = []
    reason: str = ""


class ModelStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One model of a provider."""

    info: ModelInfo
    status: Literal["active", "no-configure"]


class ProviderModels(msgspec.Struct, frozen=True, kw_only=True):
    """The models of one provider."""

    provider: str
    label: str
    models: list[ModelStatus]


class DefaultModel(msgspec.Struct, frozen=True, kw_only=True):
    """What is used where an app names no model; `chosen` tells it from the first one there is.

    `free` says that nobody entered credentials for it either: it is there because it needs none.
    """

    provider: str
    model: str
    model_type: ModelType
    chosen: bool = True
    free: bool = False


class ProviderService(TenantRepository):
    """The providers of one workspace. Names resolve: `langgenius/openai/openai` and `openai` are the same."""

    def __init__(self, db: Database, tenant: Tenant, registry: Registry, keys: TenantKeys, pool: ProviderPool) -> None:
        super().__init__(db, tenant)
        self._registry = registry
        self._pool = pool
        self._store = CredentialStore(db, tenant, keys)

    async def list(self) -> builtins.list[ProviderInfo]:
        """Every installed provider by name, with its credentials masked; a broken plugin is listed with the reason."""
        stored = await self._store.list()
        return [await self._info(offer, stored) for offer in self._registry.offers("providers")]

    async def get(self, provider: str) -> ProviderInfo:
        """One provider; PluginNotFound."""
        name = provider_name(provider)
        self._pool.kind(name)
        offer = next(offer for offer in self._registry.offers("providers") if offer.name == name)
        return await self._info(offer, await self._store.list(name))

    async def add(self, provider: str, credentials: Mapping[str, Any], *, name: str = DEFAULT_NAME) -> ProviderInfo:
        """Check credentials with the vendor, keep them encrypted and use them from now on.

        Another set of the same name is replaced; a secret sent as `[__HIDDEN__]` stays as it is there. Raises BadInput
        for an unknown or missing field, CredentialsValidateFailedError with the vendor's words.
        """
        key, label = provider_name(provider), name.strip() or DEFAULT_NAME
        if len(label) > _LONGEST_NAME:
            raise BadInput(f"The name has {len(label)} characters and may have {_LONGEST_NAME}.", field="name")
        object_ = self._pool.get(key)
        former = next((item for item in await self._store.list(key) if item.credential_name == label), None)
        kept = await readable(self._store.open(former, object_.Credentials)) if former else None
        decoded = decode_form(object_.Credentials, credentials, kept=kept)
        await object_.validate(decoded)
        await self._store.save(key, label, decoded)
        self._pool.forget(self.tenant.id, key)
        return await self.get(key)

    async def activate(self, provider: str, credential_id: str) -> None:
        """Use another set of credentials; CredentialNotFound."""
        key = provider_name(provider)
        await self._store.activate(key, credential_id)
        self._pool.forget(self.tenant.id, key)

    async def remove(self, provider: str, credential_id: str | None = None) -> None:
        """Delete one set of credentials, or all of a provider; CredentialNotFound."""
        key = provider_name(provider)
        await self._store.remove(key, credential_id)
        self._pool.forget(self.tenant.id, key)

    async def credentials(self, provider: str) -> Any:
        """What calls are made with, in clear, as the provider's struct; ProviderTokenNotInitError without any.

        Remembered for ten seconds by this process.
        """
        key = provider_name(provider)
        known = self._pool.credentials.get((self.tenant.id, key))
        if known is not None:
            return known
        kind = self._pool.kind(key)
        stored = await self._store.active(key)
        if stored is not None:
            opened = await self._store.open(stored, kind.Credentials)
        elif needs_nothing(kind.Credentials):
            opened = kind.Credentials()
        else:
            raise ProviderTokenNotInitError(
                f"Provider {key} has no credentials in this workspace.",
                hint="Add them under Settings, Model Provider.",
                provider=key,
            )
        self._pool.credentials.put((self.tenant.id, key), opened)
        return opened

    async def models(self, model_type: ModelType | None = None) -> builtins.list[ProviderModels]:
        """The models of every provider that loads and has any of that kind, with what can be used now."""
        configured = {item.provider_name for item in await self._store.list() if item.active}
        found = []
        for name in self._registry.names("providers"):
            kind = self._loaded(name)
            if kind is None or (model_type is not None and model_type not in kind.model_types):
                continue
            usable = name in configured or needs_nothing(kind.Credentials)
            models = [
                ModelStatus(info=info, status="active" if usable else "no-configure")
                for info in self._pool.get(name).models()
                if model_type is None or info.model_type == model_type
            ]
            if models:
                found.append(ProviderModels(provider=name, label=kind.label, models=models))
        return found

    async def default(self, model_type: ModelType) -> DefaultModel | None:
        """The chosen default of a kind, else the first model that can be used; None when there is none.

        A provider that somebody entered credentials for comes before one that needs none.
        """
        table = tenant_default_models
        query = self.scoped_select(table, table.c.provider_name, table.c.model_name)
        async with self.db.read() as conn:
            row = (await conn.execute(query.where(table.c.model_type == model_type.value))).first()
        if row is not None:
            return DefaultModel(provider=row.provider_name, model=row.model_name, model_type=model_type)
        listed = [(self._is_free(provider.provider), provider) for provider in await self.models(model_type)]
        for free, provider in sorted(listed, key=lambda item: item[0]):
            for model in provider.models:
                if model.status == "active" and not model.info.deprecated:
                    return DefaultModel(
                        provider=provider.provider,
                        model=model.info.model,
                        model_type=model_type,
                        chosen=False,
                        free=free,
                    )
        return None

    async def set_default(self, model_type: ModelType, provider: str, model: str) -> DefaultModel:
        """Choose the default of a kind; BadInput for a model that the provider cannot have."""
        key = provider_name(provider)
        kind = self._pool.kind(key)
        listed = {info.model for info in self._pool.get(key).models() if info.model_type == model_type}
        if model_type not in kind.model_types or not model or not (kind.customizable or model in listed):
            raise BadInput(
                f"{key} has no {model_type.value} model {model!r}.",
                hint=f"It has: {', '.join(sorted(listed)) or 'none'}.",
                field="model",
            )
        await self.credentials(key)
        row = {
            "id": new_id(),
            "tenant_id": self.tenant.id,
            "provider_name": key,
            "model_name": model,
            "model_type": model_type.value,
            "created_at": utc_now(),
            "updated_at": utc_now(),
        }
        async with self.db.write() as conn:
            await upsert(
                conn,
                tenant_default_models,
                [row],
                key=["tenant_id", "model_type"],
                update=["provider_name", "model_name"],
            )
        return DefaultModel(provider=key, model=model, model_type=model_type)

    def _is_free(self, name: str) -> bool:
        return needs_nothing(self._pool.kind(name).Credentials)

    def _loaded(self, name: str) -> type[ModelProvider] | None:
        try:
            return self._pool.kind(name)
        except PluginError:
            return None  # `list` shows it with the reason

    async def _info(self, offer: Offer, stored: builtins.list[StoredCredentials]) -> ProviderInfo:
        head: dict[str, Any] = {"provider": offer.name, "distribution": offer.distribution, "version": offer.version}
        try:
            kind = self._pool.kind(offer.name)
        except PluginError as exc:
            return ProviderInfo(**head, status="broken", reason=str(exc))
        own = [item for item in stored if item.provider_name == offer.name]
        credentials = [await self._shown(item, kind) for item in own]
        ready = any(item.active for item in own) or needs_nothing(kind.Credentials)
        return ProviderInfo(
            **head,
            status="active" if ready else "no-configure",
            label=kind.label,
            description=kind.description,
            model_types=sorted(kind.model_types),
            customizable=kind.customizable,
            fields=form_fields(kind.Credentials),
            credentials=credentials,
        )

    async def _shown(self, stored: StoredCredentials, kind: type[ModelProvider]) -> CredentialInfo:
        values = await shown(self._store.open(stored, kind.Credentials))
        return CredentialInfo(id=stored.id, name=stored.credential_name, active=stored.active, credentials=values)
