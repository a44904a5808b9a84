"""Which error of the contract each error of the client becomes."""

from __future__ import annotations

from dify_kernel.errors import ObjectNotFound, StorageError, StorageUnavailable

__all__ = ["error_classes"]


def error_classes(*, network: bool) -> dict[type[Exception], type[StorageError]]:
    """The client's classes, first match wins. Its `Unexpected` is a broken connection or a server error on a network
    service, and a lasting fault of the file system otherwise."""
    from opendal import exceptions as client

    unexpected: type[StorageError] = StorageUnavailable if network else StorageError
    return {
        client.NotFound: ObjectNotFound,
        client.NotADirectory: ObjectNotFound,
        client.RateLimited: StorageUnavailable,
        client.PermissionDenied: StorageError,
        client.ConfigInvalid: StorageError,
        client.Unsupported: StorageError,
        client.IsADirectory: StorageError,
        client.AlreadyExists: StorageError,
        client.ConditionNotMatch: StorageError,
        client.Conflict: StorageError,
        client.RangeNotSatisfied: StorageError,
        client.IsSameFile: StorageError,
        client.Unexpected: unexpected,
        client.Error: unexpected,
        OSError: unexpected,  # what an open file raises, whatever happened
    }
