"""Where the server is, and how it is told who asks."""

from __future__ import annotations

import base64
from typing import Annotated

import msgspec
from dify_kernel.errors import SettingsError
from dify_kernel.settings import Doc, Secret

__all__ = ["ChromaSettings"]


class ChromaSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the Chroma store, prefix `CHROMA_`."""

    host: Annotated[str, Doc("Host of the server; `https://…` for one behind TLS.")] = "localhost"
    port: Annotated[int, Doc("Its port.", ge=1, le=65535)] = 8000
    tenant: Annotated[str, Doc("Tenant; it must exist.")] = "default_tenant"
    database: Annotated[str, Doc("Database of the tenant; it must exist.")] = "default_database"
    auth_provider: Annotated[
        str, Doc("`token`, `basic`, `x-chroma-token`, or a class of Chroma's by its full name; empty means none.")
    ] = ""
    auth_credentials: Annotated[Secret, Doc("The token, or `user:password`.")] = Secret()

    @property
    def url(self) -> str:
        """The address of the server."""
        host = self.host if "://" in self.host else f"http://{self.host}"
        return f"{host.rstrip('/')}:{self.port}"

    def headers(self) -> dict[str, str]:
        """What tells the server who asks; SettingsError for a provider that is none."""
        provider, secret = self.auth_provider.rpartition(".")[2].lower(), self.auth_credentials.reveal()
        if not provider:
            return {}
        if provider in ("token", "tokenauthclientprovider"):
            return {"Authorization": f"Bearer {secret}"}
        if provider in ("basic", "basicauthclientprovider"):
            return {"Authorization": f"Basic {base64.b64encode(secret.encode()).decode()}"}
        if provider == "x-chroma-token":
            return {"X-Chroma-Token": secret}
        raise SettingsError(
            f"CHROMA_AUTH_PROVIDER is {self.auth_provider!r}.",
            hint="Take `token`, `basic` or `x-chroma-token`, or leave it empty.",
            setting="CHROMA_AUTH_PROVIDER",
        )
