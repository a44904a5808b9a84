"""Offers the storage `google-storage`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dify_kernel.contracts.storage import Storage, StorageCapabilities
from dify_kernel.families.operator_storage import OperatorStorage
from dify_kernel.hookspecs import hookimpl

from dify_storage_google_storage.settings import GoogleStorageSettings

__all__ = ["open_storage", "register_storages"]


def open_storage(settings: GoogleStorageSettings) -> Storage:
    """The storage of the settings; nothing is opened yet."""
    return OperatorStorage(
        _client,
        "gcs",
        settings.options(),
        settings="GOOGLE_STORAGE_…",
        capabilities=StorageCapabilities(signed_url=bool(settings.google_storage_service_account_json_base64.reveal())),
    )


@hookimpl
def register_storages(register: Callable[..., None]) -> None:
    register("google-storage", GoogleStorageSettings, open_storage, prefix="")


def _client() -> Any:
    import opendal.layers

    return opendal
