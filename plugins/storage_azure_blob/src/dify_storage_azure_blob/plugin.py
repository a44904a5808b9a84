"""Offers the storage `azure-blob`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from dify_kernel.contracts.storage import Storage, StorageCapabilities
from dify_kernel.families.operator_storage import OperatorStorage
from dify_kernel.hookspecs import hookimpl

from dify_storage_azure_blob.settings import AzureBlobSettings

__all__ = ["open_storage", "register_storages"]


def open_storage(settings: AzureBlobSettings) -> Storage:
    """The storage of the settings; nothing is opened yet."""
    return OperatorStorage(
        _client,
        "azblob",
        settings.options(),
        settings="AZURE_BLOB_…",
        capabilities=StorageCapabilities(signed_url=_has_own_host(settings)),
    )


@hookimpl
def register_storages(register: Callable[..., None]) -> None:
    register("azure-blob", AzureBlobSettings, open_storage, prefix="")


def _client() -> Any:
    import opendal.layers

    return opendal


def _has_own_host(settings: AzureBlobSettings) -> bool:
    """Whether the host is the account's own: where it is a part of the path the client signs URLs wrongly."""
    return not urlsplit(settings.azure_blob_account_url).path.strip("/")
