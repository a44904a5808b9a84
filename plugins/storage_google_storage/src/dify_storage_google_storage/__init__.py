"""Object storage of the platform in a bucket of Google Cloud Storage."""

from dify_storage_google_storage.settings import GoogleStorageSettings

__all__ = ["GoogleStorageSettings"]
