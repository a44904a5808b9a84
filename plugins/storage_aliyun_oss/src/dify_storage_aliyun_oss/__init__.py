"""Object storage of the platform in a bucket of Alibaba Cloud OSS."""

from dify_storage_aliyun_oss.settings import AliyunOssSettings

__all__ = ["AliyunOssSettings"]
