"""Where the server is. Nothing is taken over from the platform's own Redis, which may evict what it holds."""

from __future__ import annotations

from typing import Annotated

import msgspec
from dify_kernel.settings import Doc, Secret

__all__ = ["RedisSettings"]


class RedisSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the Redis store, prefix `REDIS_VECTOR_`."""

    host: Annotated[str, Doc("Host of the server; there is no default.")] = ""
    port: Annotated[int, Doc("Its port.", ge=1, le=65535)] = 6379
    username: Annotated[str, Doc("User of the access list; empty is the default user.")] = ""
    password: Annotated[Secret, Doc("Password of the user.")] = Secret()
    db: Annotated[int, Doc("Number of the database.", ge=0)] = 0
    use_ssl: Annotated[bool, Doc("Use TLS.")] = False
    ssl_ca_certs: Annotated[str, Doc("File of certificates to trust, with TLS; empty trusts the system's.")] = ""
    key_prefix: Annotated[str, Doc("What every key begins with.")] = "dify_vectors"
    exact_up_to: Annotated[
        int, Doc("Records of a partition up to which every vector is compared; beyond it a graph is followed.", ge=0)
    ] = 20_000
