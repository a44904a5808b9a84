"""Which container, where, and with whose key."""

from __future__ import annotations

from typing import Annotated

import msgspec
from dify_kernel.errors import SettingsError
from dify_kernel.settings import Doc, Secret

__all__ = ["AzureBlobSettings"]

MANAGED_IDENTITY = "managedidentity"


class AzureBlobSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What STORAGE_TYPE=azure-blob reads; each field is the lower-case name of its variable."""

    azure_blob_account_name: Annotated[str, Doc("Storage account.")] = ""
    azure_blob_account_key: Annotated[
        Secret, Doc("Its key; `managedidentity` takes the identity of the machine instead.")
    ] = Secret("")
    azure_blob_container_name: Annotated[str, Doc("Container, which must exist.")] = ""
    azure_blob_account_url: Annotated[
        str, Doc("Address of the account; empty is https://<account>.blob.core.windows.net.")
    ] = ""

    def options(self) -> dict[str, str]:
        """The options of the service; SettingsError for what is missing."""
        key = self.azure_blob_account_key.reveal()
        for name, value in (
            ("AZURE_BLOB_ACCOUNT_NAME", self.azure_blob_account_name),
            ("AZURE_BLOB_ACCOUNT_KEY", key),
            ("AZURE_BLOB_CONTAINER_NAME", self.azure_blob_container_name),
        ):
            if not value:
                raise SettingsError(f"{name} is empty.", hint="Set it as your account says.", setting=name)
        address = self.azure_blob_account_url or f"https://{self.azure_blob_account_name}.blob.core.windows.net"
        options = {
            "endpoint": address.rstrip("/"),
            "container": self.azure_blob_container_name,
            "account_name": self.azure_blob_account_name,
        }
        return options if key == MANAGED_IDENTITY else {**options, "account_key": key}
