"""Where the server is."""

from __future__ import annotations

from typing import Annotated

import msgspec
from dify_kernel.settings import Doc, Secret

__all__ = ["QdrantSettings"]


class QdrantSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the Qdrant store, prefix `QDRANT_`."""

    url: Annotated[str, Doc("Address of the server; `path:/folder` or `:memory:` runs without one.")] = (
        "http://localhost:6333"
    )
    api_key: Annotated[Secret, Doc("Key of the server, if it asks for one.")] = Secret()
    client_timeout: Annotated[int, Doc("Seconds until a call is given up.", ge=1)] = 20
    grpc_enabled: Annotated[bool, Doc("Talk gRPC instead of REST.")] = False
    grpc_port: Annotated[int, Doc("Port of gRPC.", ge=1, le=65535)] = 6334
    replication_factor: Annotated[int, Doc("Copies of each new collection in a cluster.", ge=1)] = 1

    @property
    def local(self) -> bool:
        """Whether the client itself is the engine."""
        return self.url == ":memory:" or self.url.startswith("path:")
