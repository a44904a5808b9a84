"""The `data` of an `http-request` node as structs."""

from __future__ import annotations

from typing import Any

import msgspec
from dify_kernel.contracts.node import NodeConfig

__all__ = ["BODY_TYPES", "METHODS", "AuthConfig", "Authorization", "Body", "BodyItem", "HttpRequestConfig", "Timeouts"]

METHODS = frozenset(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
BODY_TYPES = frozenset(("none", "form-data", "x-www-form-urlencoded", "raw-text", "json", "binary"))


class AuthConfig(msgspec.Struct, frozen=True):
    """How a key is sent: `basic`, `bearer` or `custom` in a header, Authorization when none is named."""

    type: str = "basic"
    api_key: str | None = None
    header: str | None = None


class Authorization(msgspec.Struct, frozen=True):
    """`no-auth`, or `api-key` with its config."""

    type: str = "no-auth"
    config: AuthConfig | None = None


class BodyItem(msgspec.Struct, frozen=True):
    """One field of a form, or the only item of another body; a file item names a variable."""

    key: str = ""
    type: str = "text"
    value: str | None = None
    file: list[str] | None = None


class Body(msgspec.Struct, frozen=True):
    """What is sent; a plain string stands for one text item."""

    type: str = "none"
    data: list[BodyItem] | str | None = None


class Timeouts(msgspec.Struct, frozen=True):
    """Seconds; 0 and null mean the platform's limit."""

    connect: float | None = None
    read: float | None = None
    write: float | None = None


class HttpRequestConfig(NodeConfig, kw_only=True):
    """One request. `headers` and `params` are text, one `key:value` a line."""

    url: str
    method: str = "get"
    headers: str | None = None
    params: str | None = None
    authorization: Authorization | None = None
    body: Body | None = None
    timeout: Timeouts | None = None
    ssl_verify: bool | None = None
    error_strategy: str | None = None
    retry_config: dict[str, Any] | None = None

    @property
    def handles_errors(self) -> bool:
        """Whether an answer that is not 2xx counts as a failure: somebody is there to deal with it."""
        return bool(self.error_strategy) or bool((self.retry_config or {}).get("retry_enabled"))
