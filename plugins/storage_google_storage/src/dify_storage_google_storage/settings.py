"""Which bucket, and with whose service account."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated

import msgspec
from dify_kernel.errors import SettingsError
from dify_kernel.settings import Doc, Secret

__all__ = ["GoogleStorageSettings"]


class GoogleStorageSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What STORAGE_TYPE=google-storage reads; each field is the lower-case name of its variable."""

    google_storage_bucket_name: Annotated[str, Doc("Bucket, which must exist.")] = ""
    google_storage_service_account_json_base64: Annotated[
        Secret, Doc("JSON of the service account in base64; empty takes the credentials of the machine.")
    ] = Secret("")
    google_storage_endpoint: Annotated[
        str, Doc("Address of another server of the protocol, asked without credentials; empty is Google's.")
    ] = ""

    def options(self) -> dict[str, str]:
        """The options of the service; SettingsError without a bucket, or for an account that is no JSON in base64."""
        if not self.google_storage_bucket_name:
            name = "GOOGLE_STORAGE_BUCKET_NAME"
            raise SettingsError(f"{name} is empty.", hint="Name a bucket that exists.", setting=name)
        options = {"bucket": self.google_storage_bucket_name}
        account = self.google_storage_service_account_json_base64.reveal()
        if account:
            options["credential"] = _checked(account)
        if self.google_storage_endpoint:
            options["endpoint"] = self.google_storage_endpoint
            if not account:
                options |= {"allow_anonymous": "true", "disable_vm_metadata": "true", "disable_config_load": "true"}
        return options


def _checked(account: str) -> str:
    try:
        msgspec.json.decode(base64.b64decode(account, validate=True), type=dict[str, str])
    except (binascii.Error, msgspec.MsgspecError, UnicodeDecodeError):
        name = "GOOGLE_STORAGE_SERVICE_ACCOUNT_JSON_BASE64"
        hint = "Give the JSON file of the account, encoded with base64 -w0."
        raise SettingsError(f"{name} is no JSON in base64.", hint=hint, setting=name) from None
    return account
