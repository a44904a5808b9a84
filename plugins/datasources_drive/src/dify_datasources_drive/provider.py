"""The providers `aws_s3_storage` and `webdav`: one drive each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dify_kernel.contracts.datasource import Datasource, DatasourceProvider
from dify_kernel.contracts.datasource_http import checking

from dify_datasources_drive.s3_drive import S3Drive
from dify_datasources_drive.settings import S3Credentials, WebdavCredentials
from dify_datasources_drive.webdav_drive import WebdavDrive

__all__ = ["S3Sources", "WebdavSources"]


class S3Sources(DatasourceProvider):
    """Buckets, read with a key."""

    name = "aws_s3_storage"
    label = "S3"
    Credentials = S3Credentials

    def datasources(self) -> Sequence[Datasource]:
        """The drive."""
        return (S3Drive(self.http),)

    async def check(self, credentials: Any) -> None:
        """Look at the top of the drive."""
        with checking():
            await S3Drive(self.http).browse(credentials, limit=1)


class WebdavSources(DatasourceProvider):
    """A folder, read with an account."""

    name = "webdav"
    label = "WebDAV"
    Credentials = WebdavCredentials

    def datasources(self) -> Sequence[Datasource]:
        """The drive."""
        return (WebdavDrive(self.http),)

    async def check(self, credentials: Any) -> None:
        """Look at the top of the drive."""
        with checking():
            await WebdavDrive(self.http).browse(credentials, limit=1)
