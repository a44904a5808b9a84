"""A folder of a WebDAV server as a drive. The protocol knows no pages: a folder is listed whole, and cut here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from dify_kernel.contracts.datasource import DriveEntry, DriveFile, DriveListing, OnlineDrive
from dify_kernel.contracts.http import HttpClient
from dify_kernel.errors import DatasourceItemNotFound

from dify_datasources_drive.answers import media_type, name_of
from dify_datasources_drive.webdav_api import Resource, WebdavApi

__all__ = ["WebdavDrive"]


class WebdavDrive(OnlineDrive):
    """The files below one folder; there are no buckets."""

    name = "webdav"
    label = "WebDAV folder"
    description = "Files of a WebDAV server, such as Nextcloud or ownCloud."

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
        """One page of a folder, by path."""
        folder, after = prefix and prefix.rstrip("/") + "/", str((next_page or {}).get("after") or "")
        found = [item for item in await WebdavApi(self._http, credentials).inside(folder) if item.path > after]
        more = {"after": found[limit - 1].path} if len(found) > limit else None
        return DriveListing(files=[_entry(item) for item in found[:limit]], next_page=more)

    @asynccontextmanager
    async def download(self, file_id: str, credentials: Any, *, bucket: str = "") -> AsyncIterator[DriveFile]:
        """One file. What is told of it is asked first: a file that changes in between is read once too often."""
        api = WebdavApi(self._http, credentials)
        known, name = await _file(api, file_id), name_of(file_id)
        async with api.file(file_id) as answer:
            length = answer.headers.get("content-length", "")
            yield DriveFile(
                name=name,
                mime_type=media_type(name, known.media_type),
                chunks=answer.chunks,
                size=int(length) if length.isdecimal() else None,
                version=known.version,
            )

    async def version(self, file_id: str, credentials: Any, *, bucket: str = "") -> str:
        """The entity tag, else time and size."""
        return (await _file(WebdavApi(self._http, credentials), file_id)).version


async def _file(api: WebdavApi, file_id: str) -> Resource:
    found = await api.one(file_id)
    if found.is_folder or not file_id:
        raise DatasourceItemNotFound(f"{file_id!r} is no file.", hint="Choose a file of the list.")
    return found


def _entry(item: Resource) -> DriveEntry:
    if item.is_folder:
        return DriveEntry(id=item.path, name=name_of(item.path), type="folder")
    return DriveEntry(id=item.path, name=name_of(item.path), size=item.size, version=item.version)
