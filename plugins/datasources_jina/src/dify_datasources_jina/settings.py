"""What a workspace enters to read with Jina Reader; the key has the name of Dify's plugin."""

from __future__ import annotations

from typing import Annotated

import msgspec
from dify_kernel.settings import Doc, Secret

__all__ = ["JinaCredentials"]


class JinaCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """A key of Jina AI. The addresses are those of its cloud, and those of the crawl are the ones that Dify asks."""

    api_key: Annotated[Secret, Doc("API key, from jina.ai/reader.")]
    base_url: Annotated[str, Doc("Address of the Reader.")] = "https://r.jina.ai"
    crawl_url: Annotated[str, Doc("Address that begins a crawl.")] = "https://adaptivecrawl-kir3wx7b3a-uc.a.run.app"
    crawl_status_url: Annotated[str, Doc("Address that says how far a crawl is.")] = (
        "https://adaptivecrawlstatus-kir3wx7b3a-uc.a.run.app"
    )
