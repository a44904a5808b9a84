"""The provider `watercrawl`: one source, the crawl."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from dify_kernel.contracts.datasource import Datasource, DatasourceProvider
from dify_kernel.contracts.datasource_http import checking

from dify_datasources_watercrawl.api import WaterCrawlApi
from dify_datasources_watercrawl.crawl import WaterCrawl
from dify_datasources_watercrawl.settings import WaterCrawlCredentials

__all__ = ["WaterCrawlSources"]


class WaterCrawlSources(DatasourceProvider):
    """Crawls with a key of WaterCrawl."""

    name = "watercrawl"
    label = "WaterCrawl"
    Credentials = WaterCrawlCredentials
    #: Seconds between two questions about a crawl.
    pause: ClassVar[float] = 2.0

    def datasources(self) -> Sequence[Datasource]:
        """The crawl."""
        return (WaterCrawl(self.http, self.pause),)

    async def check(self, credentials: Any) -> None:
        """Ask for the list of crawls."""
        with checking():
            await WaterCrawlApi(self.http, credentials).listed()
