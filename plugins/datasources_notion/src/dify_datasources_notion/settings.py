"""What a workspace enters to read from Notion; field names are those of Dify's plugin."""

from __future__ import annotations

from typing import Annotated

import msgspec
from dify_kernel.settings import Doc, Secret

__all__ = ["NotionCredentials"]


class NotionCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """An internal integration of Notion. It reads what people share with it."""

    integration_secret: Annotated[Secret, Doc("Secret of the integration, from notion.so/profile/integrations.")]
    base_url: Annotated[str, Doc("Address of the API.")] = "https://api.notion.com"
