"""The provider `watercrawl`: one source, the crawl."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from dify_kernel.contracts.datasource import Datasource, DatasourceProvider
from dify_kernel.contracts.datasource_http import refuse_credentials
from dify_kernel.errors import DatasourceError

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
        try:
            await WaterCrawlApi(self.http, credentials).listed()
        except DatasourceError as exc:
            if exc.retryable:
                raise
            raise refuse_credentials(exc) from exc
