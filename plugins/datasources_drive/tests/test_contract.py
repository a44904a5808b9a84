"""Both drives keep the contract, against real servers."""

from __future__ import annotations

import msgspec
import pytest
from dify_datasources_drive.provider import S3Sources, WebdavSources
from dify_datasources_drive.settings import S3Credentials, WebdavCredentials
from dify_kernel.settings import Secret
from dify_kernel.testing.datasource import DatasourceProviderSuite, OnlineDriveSuite
from dify_kernel.testing.plain_http import PlainHttpClient

from .conftest import BUCKET, FILES


class OverS3:
    """The provider and its credentials."""

    @pytest.fixture
    def provider(self, http: PlainHttpClient) -> S3Sources:
        return S3Sources(http)

    @pytest.fixture
    def credentials(self, s3: S3Credentials) -> S3Credentials:
        return s3

    @pytest.fixture
    def wrong_credentials(self, credentials: S3Credentials) -> S3Credentials:
        return msgspec.structs.replace(credentials, secret_access_key=Secret("tests-secret-wrong"))


class TestS3Provider(OverS3, DatasourceProviderSuite):
    """The provider of buckets."""


class TestS3Drive(OverS3, OnlineDriveSuite):
    """Its drive, all buckets."""

    source = "aws_s3_storage"
    bucket = BUCKET
    files = FILES
    gone = "folder/gone.txt"


class TestOneBucket(TestS3Drive):
    """Its drive, for the bucket that the credentials name."""

    bucket = ""

    @pytest.fixture
    def credentials(self, s3: S3Credentials) -> S3Credentials:
        return msgspec.structs.replace(s3, bucket=BUCKET)


class OverWebdav:
    """The provider and its credentials."""

    @pytest.fixture
    def provider(self, http: PlainHttpClient) -> WebdavSources:
        return WebdavSources(http)

    @pytest.fixture
    def credentials(self, webdav: WebdavCredentials) -> WebdavCredentials:
        return webdav

    @pytest.fixture
    def wrong_credentials(self, webdav: WebdavCredentials) -> WebdavCredentials:
        return msgspec.structs.replace(webdav, password=Secret("tests-password-wrong"))


class TestWebdavProvider(OverWebdav, DatasourceProviderSuite):
    """The provider of folders."""


class TestWebdavDrive(OverWebdav, OnlineDriveSuite):
    """Its drive."""

    source = "webdav"
    files = FILES
    gone = "folder/gone.txt"
