"""Where the cluster is, and how a request to it is secured and repeated."""

from __future__ import annotations

from typing import Annotated

import msgspec
from dify_kernel.settings import Doc, Secret

__all__ = ["ElasticsearchSettings"]


class ElasticsearchSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the Elasticsearch store, prefix `ELASTICSEARCH_`."""

    host: Annotated[str, Doc("Host of the server; `https://` in front of it turns TLS on.")] = "127.0.0.1"
    port: Annotated[int, Doc("Port of the server.", ge=1, le=65535)] = 9200
    username: Annotated[str, Doc("User; empty sends no credentials.")] = "elastic"
    password: Annotated[Secret, Doc("Password of the user.")] = Secret("elastic")
    use_cloud: Annotated[bool, Doc("Take ELASTICSEARCH_CLOUD_URL instead of host and port.")] = False
    cloud_url: Annotated[str, Doc("Address of the deployment in Elastic Cloud, or its cloud id.")] = ""
    api_key: Annotated[Secret, Doc("API key, instead of user and password.")] = Secret()
    ca_certs: Annotated[str, Doc("File or folder of the certificates to trust.")] = ""
    verify_certs: Annotated[bool, Doc("Check the server's certificate.")] = False
    request_timeout: Annotated[int, Doc("Seconds until a request is given up; at most 600 are waited.", ge=1)] = 100_000
    retry_on_timeout: Annotated[bool, Doc("Repeat a request that timed out.")] = True
    max_retries: Annotated[int, Doc("How often a request is repeated; at most 3 times.", ge=0)] = 10_000
