"""Object storage of the platform in a container of Azure Blob Storage."""

from dify_storage_azure_blob.settings import AzureBlobSettings

__all__ = ["AzureBlobSettings"]
