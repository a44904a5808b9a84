"""Offers the storage `s3`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dify_kernel.contracts.storage import Storage, StorageCapabilities
from dify_kernel.families.operator_storage import OperatorStorage
from dify_kernel.hookspecs import hookimpl

from dify_storage_s3.settings import S3Settings

__all__ = ["open_storage", "register_storages"]


def open_storage(settings: S3Settings) -> Storage:
    """The storage of the settings; nothing is opened yet."""
    return OperatorStorage(
        _client,
        "s3",
        settings.options(),
        settings="S3_…",
        capabilities=StorageCapabilities(signed_url=True),
    )


@hookimpl
def register_storages(register: Callable[..., None]) -> None:
    register("s3", S3Settings, open_storage, prefix="")


def _client() -> Any:
    import opendal.layers

    return opendal
