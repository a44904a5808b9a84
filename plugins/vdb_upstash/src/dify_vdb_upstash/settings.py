"""Which index, and what lets one in."""

from __future__ import annotations

from typing import Annotated

import msgspec
from dify_kernel.settings import Doc, Secret

__all__ = ["UpstashSettings"]


class UpstashSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the Upstash store, prefix `UPSTASH_VECTOR_`."""

    url: Annotated[str, Doc("Address of the index, `https://…`; it must be set.")] = ""
    token: Annotated[Secret, Doc("Token of the index that may write.")] = Secret()
