"""WaterCrawl's crawl as a website source: https://docs.watercrawl.dev/api/create-crawl."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
from dify_kernel.contracts.datasource import CrawlParameters, CrawlProgress, WebPage, WebsiteCrawl
from dify_kernel.contracts.datasource_crawl import CrawlNews, ServiceCrawl, follow_crawl, page_address
from dify_kernel.contracts.http import HttpClient
from dify_kernel.errors import DatasourceError, DatasourceItemNotFound

from dify_datasources_watercrawl.api import WaterCrawlApi
from dify_datasources_watercrawl.bodies import crawl_body, page_of

__all__ = ["WaterCrawl"]

_FAILED: Final = ("failed", "canceled", "cancelling")


class WaterCrawl(WebsiteCrawl):
    """Has WaterCrawl read pages."""

    name = "crawl"
    label = "WaterCrawl"
    description = "Has WaterCrawl read a page and those that it leads to."

    def __init__(self, http: HttpClient, pause: float) -> None:
        self._http, self._pause = http, pause

    def crawl(self, parameters: CrawlParameters, credentials: Any) -> AsyncIterator[CrawlProgress]:
        """As the contract says."""
        crawl = _Crawl(WaterCrawlApi(self._http, credentials), parameters)
        return follow_crawl(crawl, limit=parameters.limit, pause=self._pause)

    async def read(self, url: str, credentials: Any, *, only_main_content: bool = True) -> WebPage:
        """One page, by a crawl of one; DatasourceItemNotFound also for one that refuses, as neither comes."""
        alone = CrawlParameters(url=url, crawl_sub_pages=False, limit=1, only_main_content=only_main_content)
        pages = [page async for message in self.crawl(alone, credentials) for page in message.pages]
        return msgspec.structs.replace(pages[0], source_url=url)


class _Crawl(ServiceCrawl):
    """One crawl: which part of its results is next, and what was wrong with the first that is no page."""

    def __init__(self, api: WaterCrawlApi, wish: CrawlParameters) -> None:
        self._api, self._wish = api, wish
        self._url = page_address(wish.url)
        self._id = ""
        self._part = 1
        self._problem: DatasourceError | None = None

    async def start(self) -> None:
        self._id = await self._api.start(crawl_body(self._url, self._wish))

    async def news(self) -> CrawlNews:
        # In this order: a crawl that has ended before its results were asked for has no others.
        state = await self._api.crawl(self._id)
        status = state.get("status")
        if status in _FAILED:
            raise DatasourceError(f"WaterCrawl's crawl of {self._url} is {status}.", hint="Start it again.")
        found = await self._api.results(self._id, self._part)
        results = [item for item in found.get("results") or () if isinstance(item, dict)]
        more = bool(found.get("next")) and bool(results)
        self._part += more
        return CrawlNews(
            pages=[page for item in results if (page := self._page(item)) is not None],
            total=_number(state.get("number_of_documents")),
            more=more,
            ended=status == "finished" and not more,
        )

    async def stop(self) -> None:
        await self._api.stop(self._id)

    async def nothing(self) -> DatasourceError:
        return self._problem or DatasourceItemNotFound(
            f"WaterCrawl read no page at {self._url}.",
            hint="It may be gone, or refuse to be crawled: open it in a browser.",
        )

    def _page(self, result: dict[str, Any]) -> WebPage | None:
        """The page; None for one that is left out."""
        try:
            return page_of(result)
        except DatasourceError as exc:
            self._problem = self._problem or exc
            return None


def _number(value: Any) -> int:
    """A count, which the service gives as a text or a number."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0
