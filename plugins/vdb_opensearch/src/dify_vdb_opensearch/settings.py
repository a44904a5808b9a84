"""Where the cluster is, and who asks it: a user with a password, or a role in AWS."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from dify_kernel.settings import Doc, Secret

__all__ = ["OpenSearchSettings"]


class OpenSearchSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the OpenSearch store, prefix `OPENSEARCH_`."""

    host: Annotated[str, Doc("Host of the server.")] = ""
    port: Annotated[int, Doc("Port of the server.", ge=1, le=65535)] = 9200
    secure: Annotated[bool, Doc("Use TLS.")] = False
    verify_certs: Annotated[bool, Doc("Check the server's certificate, with TLS.")] = True
    auth_method: Annotated[
        Literal["basic", "aws_managed_iam"], Doc("Who asks: `basic` or `aws_managed_iam`, which signs requests.")
    ] = "basic"
    user: Annotated[str, Doc("User; empty sends no credentials.")] = ""
    password: Annotated[Secret, Doc("Password of the user.")] = Secret()
    aws_region: Annotated[str, Doc("Region of the domain, for `aws_managed_iam`.")] = ""
    aws_service: Annotated[
        Literal["es", "aoss", ""], Doc("Service, for `aws_managed_iam`: `es`; `aoss` cannot hold records by id.")
    ] = ""
