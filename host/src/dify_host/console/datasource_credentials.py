"""Credentials of data sources: which providers there are, and a workspace's sets for each."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Controller, get, post
from litestar.params import FromPath, JSONBody

from dify_host.datasources.installed import DatasourceProviderInfo
from dify_host.http.console_callers import MEMBERS, WRITERS, ConsoleAccount
from dify_host.service.shapes import Success, shown

__all__ = ["DatasourceCredentialController"]

Name = Annotated[str, msgspec.Meta(max_length=100)]


class AddBody(msgspec.Struct, kw_only=True):
    """Body of adding a set."""

    credentials: dict[str, Any]
    name: Name | None = None


class ChosenBody(msgspec.Struct, kw_only=True):
    """Body that names a set."""

    credential_id: str


class UpdateBody(ChosenBody, kw_only=True):
    """Body of changing a set."""

    name: Name | None = None
    credentials: dict[str, Any] | None = None


class RenameBody(ChosenBody, kw_only=True):
    """Body of naming a set."""

    name: Name


class DefaultBody(msgspec.Struct, kw_only=True):
    """Body of choosing the default set."""

    id: str


def _paths(last: str = "") -> list[str]:
    """A provider is one name, or the three of Dify: `langgenius/x_datasource/x`."""
    return [f"/{{provider_id:str}}{last}", f"/{{organization:str}}/{{plugin:str}}/{{provider_id:str}}{last}"]


class DatasourceCredentialController(Controller):
    """Routes of credentials; of a secret the last four characters are shown."""

    path = "/auth/plugin/datasource"

    @get("/list", opt=MEMBERS)
    async def providers(self, caller: ConsoleAccount) -> dict[str, Any]:
        """Every installed provider with its form and sets."""
        found = await caller.workspace.installed_datasources.list()
        return {"result": [_provider(item) for item in found]}

    @get("/default-list", opt=MEMBERS)
    async def defaults(self, caller: ConsoleAccount) -> dict[str, Any]:
        """The providers that can be used, each with its default set."""
        found = await caller.workspace.installed_datasources.list()
        bodies = [_provider(item) for item in found if item.status == "ready"]
        for body in bodies:
            body["credentials_list"] = [item for item in body["credentials_list"] if item["is_default"]]
        return {"result": bodies}

    @get(_paths(), opt=MEMBERS)
    async def sets(self, provider_id: FromPath[str], caller: ConsoleAccount) -> dict[str, Any]:
        """The sets of a provider."""
        return {"result": shown((await caller.workspace.installed_datasources.get(provider_id)).credentials)}

    @post(_paths(), status_code=200, opt=WRITERS)
    async def add(self, provider_id: FromPath[str], data: JSONBody[AddBody], caller: ConsoleAccount) -> Success:
        """Check a set with the service and keep it."""
        await caller.workspace.installed_datasources.add_credentials(
            provider_id, data.credentials, name=data.name, user_id=caller.account_id
        )
        return Success()

    @post(_paths("/update"), status_code=200, opt=WRITERS)
    async def update(self, provider_id: FromPath[str], data: JSONBody[UpdateBody], caller: ConsoleAccount) -> Success:
        """Change what a set holds; a secret sent as `[__HIDDEN__]` stays."""
        await caller.workspace.installed_datasources.update_credentials(
            provider_id, data.credential_id, credentials=data.credentials, name=data.name
        )
        return Success()

    @post(_paths("/update-name"), status_code=200, opt=WRITERS)
    async def rename(self, provider_id: FromPath[str], data: JSONBody[RenameBody], caller: ConsoleAccount) -> Success:
        """Name a set."""
        await caller.workspace.installed_datasources.update_credentials(provider_id, data.credential_id, name=data.name)
        return Success()

    @post(_paths("/default"), status_code=200, opt=WRITERS)
    async def choose(self, provider_id: FromPath[str], data: JSONBody[DefaultBody], caller: ConsoleAccount) -> Success:
        """Use a set where none is named."""
        await caller.workspace.installed_datasources.set_default(provider_id, data.id)
        return Success()

    @post(_paths("/delete"), status_code=200, opt=WRITERS)
    async def remove(self, provider_id: FromPath[str], data: JSONBody[ChosenBody], caller: ConsoleAccount) -> Success:
        """Delete a set."""
        await caller.workspace.installed_datasources.remove_credentials(provider_id, data.credential_id)
        return Success()


def _provider(found: DatasourceProviderInfo) -> dict[str, Any]:
    return {
        "provider": found.provider,
        "name": found.provider,
        "plugin_id": found.distribution,
        "plugin_unique_identifier": f"{found.distribution}:{found.version}",
        "label": {"en_US": found.label or found.provider},
        "status": found.status,
        "reason": found.reason,
        "credential_schema": shown(found.fields),
        "oauth_schema": None,
        "credentials_list": shown(found.credentials),
    }
