"""What a workspace enters to crawl with WaterCrawl; field names are those of Dify's plugin."""

from __future__ import annotations

from typing import Annotated

import msgspec
from dify_kernel.settings import Doc, Secret

__all__ = ["WaterCrawlCredentials"]


class WaterCrawlCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """A key of WaterCrawl."""

    api_key: Annotated[Secret, Doc("API key, from app.watercrawl.dev/dashboard/api-keys or a server of one's own.")]
    base_url: Annotated[str, Doc("Address of the API, or of a server of one's own.")] = "https://app.watercrawl.dev"
