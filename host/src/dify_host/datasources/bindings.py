"""Websites connected by a key, in the words of the time before plugins: a binding is a set of credentials."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from dify_kernel.errors import NotFound, PluginError
from dify_kernel.forms import form_fields

from dify_host.datasources.errors import DatasourceNotFound
from dify_host.datasources.installed import InstalledDatasources
from dify_host.datasources.pool import website_of

__all__ = ["KeyBinding", "KeyBindings"]

#: What a request calls the key, whatever the provider calls it.
_KEY: Final = "api_key"


class KeyBinding(msgspec.Struct, frozen=True, kw_only=True):
    """One set of credentials; times are seconds since 1970."""

    id: str
    provider: str
    created_at: int
    updated_at: int
    category: str = "website"
    disabled: bool = False


class KeyBindings:
    """The bindings of one workspace: the same sets that `InstalledDatasources` keeps, of providers of websites."""

    def __init__(self, installed: InstalledDatasources) -> None:
        self._installed = installed

    async def list(self) -> builtins.list[KeyBinding]:
        """Every binding, the default of each provider first."""
        return [
            KeyBinding(
                id=kept.id,
                provider=kept.provider,
                created_at=int(kept.created_at.timestamp()),
                updated_at=int(kept.updated_at.timestamp()),
            )
            for kept in await self._installed.stored()
            if self._reads_websites(kept.provider)
        ]

    async def bind(self, provider: str, config: Mapping[str, Any], *, user_id: str) -> None:
        """Check a key with the service and keep it.

        DatasourceNotFound for a provider that reads no websites, else as `InstalledDatasources.add_credentials`.
        """
        found = self._installed.provider(provider)
        website_of(found)
        await self._installed.add_credentials(provider, _named(found.Credentials, config), user_id=user_id)

    async def unbind(self, binding_id: str) -> None:
        """Forget a key; NotFound."""
        for binding in await self.list():
            if binding.id == binding_id:
                return await self._installed.remove_credentials(binding.provider, binding_id)
        raise NotFound("There is no such binding.", hint="Load the list again.", binding=binding_id)

    def _reads_websites(self, provider: str) -> bool:
        """Whether a plugin that offers the provider is installed, works, and crawls."""
        try:
            website_of(self._installed.provider(provider))
        except (DatasourceNotFound, PluginError):
            return False
        return True


def _named(form: type[msgspec.Struct], config: Mapping[str, Any]) -> dict[str, Any]:
    """What was sent under the names of the provider's form: its one secret is the key, whatever it is called there."""
    fields = form_fields(form)
    secrets = [field.variable for field in fields if field.type == "secret-input"]
    alike = _KEY in (field.variable for field in fields)
    name = _KEY if alike or len(secrets) != 1 else secrets[0]
    return {name if given == _KEY else given: value for given, value in config.items()}
