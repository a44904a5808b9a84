"""Vectors in Huawei Cloud's search service: one index a space, partitions by routing."""

from dify_vdb_huawei_cloud.settings import HuaweiCloudSettings
from dify_vdb_huawei_cloud.store import HuaweiCloudVectorStore

__all__ = ["HuaweiCloudSettings", "HuaweiCloudVectorStore"]
