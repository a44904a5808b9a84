"""Offers the storage `aliyun-oss`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dify_kernel.contracts.storage import Storage, StorageCapabilities
from dify_kernel.families.operator_storage import OperatorStorage
from dify_kernel.hookspecs import hookimpl

from dify_storage_aliyun_oss.settings import AliyunOssSettings

__all__ = ["open_storage", "register_storages"]


def open_storage(settings: AliyunOssSettings) -> Storage:
    """The storage of the settings; nothing is opened yet."""
    return OperatorStorage(
        _client,
        "oss",
        settings.options(),
        settings="ALIYUN_OSS_…",
        capabilities=StorageCapabilities(signed_url=True),
    )


@hookimpl
def register_storages(register: Callable[..., None]) -> None:
    register("aliyun-oss", AliyunOssSettings, open_storage, prefix="")


def _client() -> Any:
    import opendal.layers

    return opendal
