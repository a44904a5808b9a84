"""What the credentials form asks for."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from dify_kernel.settings import Doc, Secret

__all__ = ["OpenAICredentials"]

DEFAULT_BASE = "https://api.openai.com/v1"


class OpenAICredentials(msgspec.Struct, frozen=True, kw_only=True):
    """An account of OpenAI, or the address of a server that speaks its API."""

    openai_api_key: Annotated[Secret, Doc("API key; empty for a server that asks for none")] = Secret()
    openai_organization: Annotated[str, Doc("Organization of the account, when it has several")] = ""
    openai_api_base: Annotated[str, Doc("Address of the server, with or without /v1; empty for OpenAI itself")] = ""
    validate_model: Annotated[
        str, Doc("Model for checking these credentials on a server that has no list of models")
    ] = ""

    @property
    def base(self) -> str:
        """The address that the paths are added to: `/v1` is added unless the address names a version already."""
        base = self.openai_api_base.strip().rstrip("/")
        if not base:
            return DEFAULT_BASE
        versioned = any(re.match(r"v\d", part) for part in urlsplit(base).path.split("/"))
        return base if versioned else f"{base}/v1"
