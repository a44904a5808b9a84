"""Where the cluster is."""

from __future__ import annotations

from typing import Annotated

import msgspec
from dify_kernel.settings import Doc, Secret

__all__ = ["HuaweiCloudSettings"]


class HuaweiCloudSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the Huawei Cloud store, prefix `HUAWEI_CLOUD_`."""

    hosts: Annotated[str, Doc("Addresses of the nodes, divided by commas; empty is `http://localhost:9200`.")] = ""
    user: Annotated[str, Doc("User; empty sends no credentials.")] = ""
    password: Annotated[Secret, Doc("Password of the user.")] = Secret()
