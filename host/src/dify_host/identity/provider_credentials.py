"""The credentials of one workspace for providers that plugins offer: checked, changed, chosen, opened."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar

from dify_kernel.errors import BadInput, DifyError
from dify_kernel.forms import decode_form, needs_nothing

from dify_host.identity.credential_sets import CredentialSets, readable
from dify_host.models.pool import provider_name

__all__ = ["DEFAULT_NAME", "ProviderCredentials"]

P = TypeVar("P")

DEFAULT_NAME = "API KEY 1"


class ProviderCredentials(ABC, Generic[P]):
    """What tools and data sources share. A provider has `Credentials`, the struct that its form is made of."""

    longest_name: ClassVar[int]
    _store: CredentialSets

    @abstractmethod
    def _provider(self, name: str) -> P:
        """The installed provider of a name."""

    @abstractmethod
    async def _check(self, provider: P, credentials: Any) -> None:
        """Ask the provider whether its service takes them; CredentialsValidateFailedError."""

    @abstractmethod
    def _missing(self, name: str) -> DifyError:
        """What is said when a provider needs credentials and has none."""

    async def set_default(self, provider: str, credential_id: str) -> None:
        """Use another set where nothing names one; NotFound."""
        await self._store.set_default(provider_name(provider), credential_id)

    async def remove_credentials(self, provider: str, credential_id: str) -> None:
        """Delete a set; NotFound."""
        await self._store.remove(provider_name(provider), credential_id)

    async def _add(self, provider: str, label: str, credentials: Mapping[str, Any], user_id: str) -> str:
        found = self._provider(provider)
        decoded = decode_form(_form(found), credentials)
        await self._check(found, decoded)
        return await self._store.add(provider_name(provider), label, decoded, user_id)

    async def _update(
        self, provider: str, credential_id: str, credentials: Mapping[str, Any] | None, name: str | None
    ) -> None:
        found, key = self._provider(provider), provider_name(provider)
        decoded = None
        if credentials is not None:
            stored = await self._store.chosen(key, credential_id)
            kept = await readable(self._store.open(stored, _form(found))) if stored else None
            decoded = decode_form(_form(found), credentials, kept=kept)
            await self._check(found, decoded)
        label = None if name is None else self._checked_name(name)
        await self._store.update(key, credential_id, name=label, credentials=decoded)

    async def _opened(self, found: P, name: str, credential_id: str | None) -> Any:
        """The credentials of that id, else the default ones, else those of a provider that needs none."""
        stored = await self._store.chosen(name, credential_id)
        if stored is not None:
            return await self._store.open(stored, _form(found))
        if needs_nothing(_form(found)):
            return _form(found)()
        raise self._missing(name)

    def _checked_name(self, name: str) -> str:
        label = name.strip() or DEFAULT_NAME
        if len(label) > self.longest_name:
            raise BadInput(f"The name has {len(label)} characters and may have {self.longest_name}.", field="name")
        return label


def _form(provider: Any) -> Any:
    return provider.Credentials
