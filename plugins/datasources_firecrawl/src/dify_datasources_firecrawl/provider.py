"""The provider `firecrawl`: one source, the crawl."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from dify_kernel.contracts.datasource import Datasource, DatasourceProvider
from dify_kernel.contracts.datasource_http import checking

from dify_datasources_firecrawl.api import FirecrawlApi
from dify_datasources_firecrawl.crawl import Firecrawl
from dify_datasources_firecrawl.settings import FirecrawlCredentials

__all__ = ["FirecrawlSources"]


class FirecrawlSources(DatasourceProvider):
    """Crawls with a key of Firecrawl."""

    name = "firecrawl"
    label = "Firecrawl"
    Credentials = FirecrawlCredentials
    #: Seconds between two questions about a crawl.
    pause: ClassVar[float] = 2.0

    def datasources(self) -> Sequence[Datasource]:
        """The crawl."""
        return (Firecrawl(self.http, self.pause),)

    async def check(self, credentials: Any) -> None:
        """Ask for the crawls that go on, which costs no credit."""
        with checking():
            await FirecrawlApi(self.http, credentials).active()
