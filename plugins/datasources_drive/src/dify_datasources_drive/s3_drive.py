"""Buckets of a service that speaks the protocol of S3, as a drive: a folder is what keys have before a slash."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from dify_kernel.contracts.datasource import DriveEntry, DriveFile, DriveListing, OnlineDrive
from dify_kernel.contracts.http import HttpClient
from dify_kernel.errors import DatasourceItemNotFound

from dify_datasources_drive.answers import media_type, name_of
from dify_datasources_drive.s3_api import S3Api, S3Page
from dify_datasources_drive.settings import S3Credentials

__all__ = ["S3Drive"]

_MOST: Final = 1000


class S3Drive(OnlineDrive):
    """The buckets of a key, or the one that its credentials name: then that is the top of the drive."""

    name = "aws_s3_storage"
    label = "S3 buckets"
    description = "Files in buckets of Amazon S3 and of services that speak its protocol."

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    async def browse(
        self,
        credentials: Any,
        *,
        bucket: str = "",
        prefix: str = "",
        limit: int = 100,
        next_page: dict[str, Any] | None = None,
    ) -> DriveListing:
        """One page of a folder, or of the buckets."""
        api, more = S3Api(self._http, credentials), next_page or {}
        chosen = _bucket(credentials, bucket)
        if not chosen:
            after = str(more.get("after") or "")
            names = [name for name in await api.buckets() if name > after]
            shown = [DriveEntry(id=name, name=name, type="bucket") for name in names[:limit]]
            return DriveListing(files=shown, next_page={"after": names[limit - 1]} if len(names) > limit else None)
        folder = prefix and prefix.rstrip("/") + "/"
        page = await api.page(chosen, folder, min(limit, _MOST), str(more.get("continuation_token") or ""))
        token = {"continuation_token": page.token} if page.token else None
        return DriveListing(bucket=bucket, files=_entries(page, folder), next_page=token)

    @asynccontextmanager
    async def download(self, file_id: str, credentials: Any, *, bucket: str = "") -> AsyncIterator[DriveFile]:
        """One object."""
        api, name = S3Api(self._http, credentials), name_of(file_id)
        async with await api.file(_bucket_of_file(credentials, bucket, file_id), file_id) as answer:
            length = answer.headers.get("content-length", "")
            yield DriveFile(
                name=name,
                mime_type=media_type(name, answer.headers.get("content-type", "")),
                chunks=answer.chunks,
                size=int(length) if length.isdecimal() else None,
                version=answer.headers.get("etag", "").strip('"'),
            )

    async def version(self, file_id: str, credentials: Any, *, bucket: str = "") -> str:
        """The entity tag."""
        chosen = _bucket_of_file(credentials, bucket, file_id)
        return await S3Api(self._http, credentials).version(chosen, file_id)


def _bucket(credentials: S3Credentials, named: str) -> str:
    """The bucket that is meant; empty when all are."""
    if named and credentials.bucket and named != credentials.bucket:
        raise DatasourceItemNotFound(
            f"The credentials are not for the bucket {named!r}.", hint="Choose the files anew, or other credentials."
        )
    return named or credentials.bucket


def _bucket_of_file(credentials: S3Credentials, named: str, file_id: str) -> str:
    found = _bucket(credentials, named)
    if not found or not file_id or file_id.endswith("/"):
        raise DatasourceItemNotFound(f"{file_id!r} is no file of a bucket.", hint="Choose a file of the list.")
    return found


def _entries(page: S3Page, folder: str) -> list[DriveEntry]:
    """Folders before files; the object that only stands for the folder itself is none of them."""
    found = [DriveEntry(id=prefix, name=name_of(prefix), type="folder") for prefix in page.prefixes]
    return found + [
        DriveEntry(id=item.key, name=name_of(item.key), size=item.size, version=item.version)
        for item in page.objects
        if item.key != folder
    ]
