"""Object storage of the platform in a bucket of Amazon S3, or of any service that speaks its protocol."""

from dify_storage_s3.settings import S3Settings

__all__ = ["S3Settings"]
