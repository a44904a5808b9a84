"""Which bucket, where, and with whose keys."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from dify_kernel.errors import SettingsError
from dify_kernel.settings import Doc, Secret

__all__ = ["S3Settings"]


class S3Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What STORAGE_TYPE=s3 reads; each field is the lower-case name of its variable."""

    s3_endpoint: Annotated[str, Doc("Address of the service; empty is Amazon's of the region.")] = ""
    s3_region: Annotated[str, Doc("Region.")] = "us-east-1"
    s3_bucket_name: Annotated[str, Doc("Bucket, which must exist.")] = ""
    s3_access_key: Annotated[str, Doc("Access key id.")] = ""
    s3_secret_key: Annotated[Secret, Doc("Secret access key.")] = Secret("")
    s3_address_style: Annotated[
        Literal["auto", "virtual", "path"], Doc("How the bucket is named: in the host name, or in the path.")
    ] = "auto"
    s3_use_aws_managed_iam: Annotated[
        bool, Doc("Take the credentials of the machine or its role; endpoint, address style and keys do not count.")
    ] = False

    def options(self) -> dict[str, str]:
        """The options of the service; SettingsError without a bucket, or without keys."""
        if not self.s3_bucket_name:
            raise SettingsError("S3_BUCKET_NAME is empty.", hint="Name a bucket that exists.", setting="S3_BUCKET_NAME")
        options = {"bucket": self.s3_bucket_name, "region": self.s3_region or "us-east-1"}
        if self.s3_use_aws_managed_iam:
            return options
        secret = self.s3_secret_key.reveal()
        if not self.s3_access_key or not secret:
            raise SettingsError(
                "S3_ACCESS_KEY or S3_SECRET_KEY is empty.",
                hint="Set both, or S3_USE_AWS_MANAGED_IAM=true for the credentials of the machine.",
                setting="S3_ACCESS_KEY",
            )
        # Only these keys count: what the environment or the machine offers belongs to somebody else.
        own = {"disable_config_load": "true", "disable_ec2_metadata": "true"}
        options |= {"access_key_id": self.s3_access_key, "secret_access_key": secret, **own}
        if self.s3_endpoint:
            options["endpoint"] = self.s3_endpoint
        if self.s3_address_style == "virtual" or (self.s3_address_style == "auto" and not self.s3_endpoint):
            options["enable_virtual_host_style"] = "true"
        return options
