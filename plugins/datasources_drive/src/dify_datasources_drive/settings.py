"""What a workspace enters to read a drive with; the first three of S3 have the names of Dify's plugin."""

from __future__ import annotations

from typing import Annotated

import msgspec
from dify_kernel.settings import Doc, Secret

__all__ = ["S3Credentials", "WebdavCredentials"]


class S3Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """A key of a service that speaks the protocol of S3."""

    access_key_id: Annotated[Secret, Doc("Id of the access key.")]
    secret_access_key: Annotated[Secret, Doc("The secret of the access key.")]
    region_name: Annotated[str, Doc("Region of the buckets.")] = "us-east-1"
    endpoint_url: Annotated[str, Doc("Address of the service, with http:// or https://; empty for Amazon's.")] = ""
    bucket: Annotated[str, Doc("The one bucket to read, for a key that may not list buckets; empty for all.")] = ""

    @property
    def address(self) -> str:
        """Where the service is, without a slash at the end."""
        return self.endpoint_url.strip().rstrip("/") or f"https://s3.{self.region_name}.amazonaws.com"


class WebdavCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """A folder of a WebDAV server, and who reads it."""

    base_url: Annotated[str, Doc("Address of the folder to read, with http:// or https://.")]
    username: Annotated[str, Doc("Name of the account; empty for a folder that is open.")] = ""
    password: Annotated[Secret, Doc("Password of the account, or one of an app.")] = Secret()

    @property
    def address(self) -> str:
        """The folder, with a slash at the end."""
        return self.base_url.strip().rstrip("/") + "/"
