"""Which bucket, where, and with whose keys."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from dify_kernel.errors import SettingsError
from dify_kernel.settings import Doc, Secret

__all__ = ["AliyunOssSettings"]


class AliyunOssSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What STORAGE_TYPE=aliyun-oss reads; each field is the lower-case name of its variable."""

    aliyun_oss_bucket_name: Annotated[str, Doc("Bucket, which must exist.")] = ""
    aliyun_oss_access_key: Annotated[str, Doc("Access key id.")] = ""
    aliyun_oss_secret_key: Annotated[Secret, Doc("Access key secret.")] = Secret("")
    aliyun_oss_endpoint: Annotated[str, Doc("Address, such as https://oss-cn-hangzhou.aliyuncs.com.")] = ""
    aliyun_oss_region: Annotated[str, Doc("Region; the address tells it, so that it is not needed.")] = ""
    aliyun_oss_auth_version: Annotated[str, Doc("Version of signatures in Dify; the client chooses by itself.")] = ""
    aliyun_oss_path: Annotated[str, Doc("Folder in front of every key.")] = ""

    def options(self) -> dict[str, str]:
        """The options of the service; SettingsError for what is missing."""
        secret = self.aliyun_oss_secret_key.reveal()
        needed = {
            "bucket": ("ALIYUN_OSS_BUCKET_NAME", self.aliyun_oss_bucket_name),
            "endpoint": ("ALIYUN_OSS_ENDPOINT", self.aliyun_oss_endpoint),
            "access_key_id": ("ALIYUN_OSS_ACCESS_KEY", self.aliyun_oss_access_key),
            "access_key_secret": ("ALIYUN_OSS_SECRET_KEY", secret),
        }
        for name, value in needed.values():
            if not value:
                raise SettingsError(f"{name} is empty.", hint="Set it as your account says.", setting=name)
        options = {option: value for option, (_, value) in needed.items()}
        if folder := self.aliyun_oss_path.strip("/"):
            options["root"] = f"/{folder}"
        if _is_number(urlsplit(self.aliyun_oss_endpoint).hostname or ""):
            options["addressing_style"] = "path"  # the bucket cannot be a part of such a name
        return options


def _is_number(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
