"""How calls of a described API are authorised: not at all, or by a key in a header or in the query."""

from __future__ import annotations

import base64
from typing import Annotated, Literal

import msgspec
from dify_kernel.errors import BadInput
from dify_kernel.settings import Doc, Secret

__all__ = ["ApiCredentials", "authorised"]


class ApiCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """The credentials of one API; names are those of Dify."""

    auth_type: Annotated[
        Literal["none", "api_key", "api_key_header", "api_key_query"], Doc("Where the key is sent, if there is one")
    ] = "none"
    api_key_value: Annotated[Secret, Doc("The key; for basic also user:password")] = Secret()
    api_key_header: Annotated[str, Doc("The header that carries it")] = "Authorization"
    api_key_header_prefix: Annotated[
        Literal["basic", "bearer", "custom"], Doc("What stands before it in the header; custom is nothing")
    ] = "basic"
    api_key_query_param: Annotated[str, Doc("The query parameter that carries it")] = "key"

    def check(self) -> None:
        """BadInput for a way of authorisation without its key."""
        if self.auth_type != "none" and not self.api_key_value:
            raise BadInput("api_key_value is required.", hint="Or choose the auth_type none.", field="api_key_value")


def authorised(credentials: ApiCredentials) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """The headers and the query parameters that carry the key."""
    if credentials.auth_type == "none":
        return [], []
    key = credentials.api_key_value.reveal()
    if credentials.auth_type == "api_key_query":
        return [], [(credentials.api_key_query_param, key)]
    if credentials.api_key_header_prefix == "bearer":
        key = f"Bearer {key}"
    elif credentials.api_key_header_prefix == "basic":
        # A colon cannot be part of base64: such a key is still to be encoded.
        encoded = base64.b64encode(key.encode()).decode() if ":" in key else key
        key = f"Basic {encoded}"
    return [(credentials.api_key_header, key)], []
