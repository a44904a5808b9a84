"""What a workspace enters to crawl with Firecrawl; field names are those of Dify's plugin."""

from __future__ import annotations

from typing import Annotated

import msgspec
from dify_kernel.settings import Doc, Secret

__all__ = ["FirecrawlCredentials"]


class FirecrawlCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """A key of Firecrawl. A server of one's own that has no accounts takes any text."""

    firecrawl_api_key: Annotated[Secret, Doc("API key, from firecrawl.dev/app/api-keys.")]
    base_url: Annotated[str, Doc("Address of the API, or of a server of one's own.")] = "https://api.firecrawl.dev"
