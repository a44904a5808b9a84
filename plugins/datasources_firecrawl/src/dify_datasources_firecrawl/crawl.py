"""Firecrawl's crawl as a website source: https://docs.firecrawl.dev/api-reference/endpoint/crawl-post."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
from dify_kernel.contracts.datasource import CrawlParameters, CrawlProgress, WebPage, WebsiteCrawl
from dify_kernel.contracts.datasource_crawl import CrawlNews, ServiceCrawl, follow_crawl, no_text, page_address
from dify_kernel.contracts.http import HttpClient
from dify_kernel.errors import DatasourceError

from dify_datasources_firecrawl.api import FirecrawlApi
from dify_datasources_firecrawl.bodies import crawl_body, following, page_of, scrape_body

__all__ = ["Firecrawl"]


class Firecrawl(WebsiteCrawl):
    """Has Firecrawl read pages."""

    name = "crawl"
    label = "Firecrawl"
    description = "Has Firecrawl read a page and those below it."

    def __init__(self, http: HttpClient, pause: float) -> None:
        self._http, self._pause = http, pause

    def crawl(self, parameters: CrawlParameters, credentials: Any) -> AsyncIterator[CrawlProgress]:
        """As the contract says."""
        crawl = _Crawl(FirecrawlApi(self._http, credentials), parameters)
        return follow_crawl(crawl, limit=parameters.limit, pause=self._pause)

    async def read(self, url: str, credentials: Any, *, only_main_content: bool = True) -> WebPage:
        """One page as it is now."""
        body = scrape_body(page_address(url), only_main_content=only_main_content)
        page = page_of(await FirecrawlApi(self._http, credentials).scrape(body), url)
        return msgspec.structs.replace(page, source_url=url)


class _Crawl(ServiceCrawl):
    """One crawl: how many documents have come, and what was wrong with the first that is no page."""

    def __init__(self, api: FirecrawlApi, wish: CrawlParameters) -> None:
        self._api, self._wish = api, wish
        self._url = page_address(wish.url)
        self._id = ""
        self._skip = 0
        self._problem: DatasourceError | None = None

    async def start(self) -> None:
        self._id = await self._api.start(crawl_body(self._url, self._wish))

    async def news(self) -> CrawlNews:
        found = await self._api.status(self._id, self._skip)
        status = found.get("status")
        if status in ("failed", "cancelled"):
            said = found.get("error") or "no reason is given"
            raise DatasourceError(f"Firecrawl's crawl of {self._url} {status}: {said}.", hint="Start it again.")
        documents = [item for item in found.get("data") or () if isinstance(item, dict)]
        skip = following(found.get("next"))
        more = skip is not None and skip > self._skip
        self._skip = max(self._skip, self._skip + len(documents) if skip is None else skip)
        total = found.get("total")
        return CrawlNews(
            pages=[page for item in documents if (page := self._page(item)) is not None],
            total=total if isinstance(total, int) else 0,
            more=more,
            ended=status == "completed" and not more,
        )

    async def stop(self) -> None:
        await self._api.cancel(self._id)

    async def nothing(self) -> DatasourceError:
        """What was wrong with the page, else what the service says of those that it could not read."""
        if self._problem is not None:
            return self._problem
        found = await self._api.errors(self._id)
        for item in found.get("errors") or ():
            if isinstance(item, dict) and item.get("error"):
                return DatasourceError(
                    f"Firecrawl could not read {item.get('url') or self._url}: {item['error']}",
                    hint="Open it in a browser, and try again.",
                )
        if found.get("robotsBlocked"):
            return DatasourceError(
                f"The robots.txt of the site does not allow {self._url} to be crawled.", hint="Ask its owner."
            )
        return no_text(self._url)

    def _page(self, document: dict[str, Any]) -> WebPage | None:
        """The page; None for one that is left out."""
        try:
            return page_of(document, self._url)
        except DatasourceError as exc:
            self._problem = self._problem or exc
            return None
