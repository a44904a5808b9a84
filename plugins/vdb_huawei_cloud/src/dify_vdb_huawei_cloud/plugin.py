"""Offers the vector store `huawei_cloud`, also written `huawei-cloud`."""

from __future__ import annotations

from collections.abc import Callable

from dify_kernel.hookspecs import hookimpl

from dify_vdb_huawei_cloud.settings import HuaweiCloudSettings
from dify_vdb_huawei_cloud.store import HuaweiCloudVectorStore

__all__ = ["register_vector_stores"]


@hookimpl
def register_vector_stores(register: Callable[..., None]) -> None:
    for name in ("huawei_cloud", "huawei-cloud"):
        register(name, HuaweiCloudSettings, HuaweiCloudVectorStore, prefix="HUAWEI_CLOUD_")
