"""Where the server is, by both of its interfaces."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import SplitResult, urlsplit

import msgspec
from dify_kernel.errors import SettingsError
from dify_kernel.settings import Doc, Secret

__all__ = ["Places", "WeaviateSettings"]


class Places(msgspec.Struct, frozen=True):
    """The address of the REST interface, and host and port of the gRPC one, with or without TLS."""

    rest: str
    grpc: str
    secure: bool


class WeaviateSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the Weaviate store, prefix `WEAVIATE_`."""

    endpoint: Annotated[str, Doc("Address of the server, such as `http://weaviate:8080`; it must be given.")] = ""
    api_key: Annotated[Secret, Doc("Key of the server, if it asks for one.")] = Secret()
    grpc_endpoint: Annotated[
        str,
        Doc("Address of its gRPC interface, `grpc://…` or `grpcs://…`; empty: the same host, port 50051 or 443 (TLS)."),
    ] = ""
    batch_size: Annotated[int, Doc("Records in one request to write.", ge=1)] = 100
    grpc_enabled: Annotated[bool, Doc("Without effect: searches and writes are always gRPC.")] = True
    tokenization: Annotated[
        str, Doc("Without effect: words of every script are found without a tokenizer of the server's.")
    ] = "word"

    def places(self) -> Places:
        """Where both interfaces are; SettingsError when an address is missing or none."""
        if not self.endpoint:
            raise SettingsError(
                "WEAVIATE_ENDPOINT is not set.",
                hint="Give the address of the server, such as http://weaviate:8080.",
                setting="WEAVIATE_ENDPOINT",
            )
        rest = _split(self.endpoint, "http", "WEAVIATE_ENDPOINT", ("http", "https"))
        tls = "grpcs" if rest.scheme == "https" else "grpc"
        beside = self.grpc_endpoint or f"{tls}://{_host(rest)}"
        grpc = _split(beside, tls, "WEAVIATE_GRPC_ENDPOINT", ("grpc", "grpcs", "http", "https"))
        secure = grpc.scheme in ("grpcs", "https")
        port = "" if rest.port is None else f":{rest.port}"
        return Places(
            rest=f"{rest.scheme}://{_host(rest)}{port}{rest.path.rstrip('/')}",
            grpc=f"{_host(grpc)}:{grpc.port or (443 if secure else 50051)}",
            secure=secure,
        )


def _split(address: str, scheme: str, setting: str, known: tuple[str, ...]) -> SplitResult:
    parts = urlsplit(address if "://" in address else f"{scheme}://{address}")
    try:
        valid = bool(parts.hostname) and parts.scheme in known and (parts.port is None or parts.port > 0)
    except ValueError:  # a port that is no number
        valid = False
    if not valid:
        raise SettingsError(
            f"{setting} is no address of a server.",
            hint=f"Give a host and a port, with one of {', '.join(known)} before it.",
            setting=setting,
        )
    return parts


def _host(parts: SplitResult) -> str:
    """The host, in brackets when it is an address with colons."""
    host = parts.hostname or ""
    return f"[{host}]" if ":" in host else host
