"""Jina's Reader and its crawl as a website source."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from dify_kernel.contracts.datasource import CrawlParameters, CrawlProgress, WebPage, WebsiteCrawl
from dify_kernel.contracts.datasource_crawl import CrawlNews, Paths, ServiceCrawl, follow_crawl, no_text, page_address
from dify_kernel.contracts.datasource_http import refusal
from dify_kernel.contracts.http import HttpClient, HttpResponse
from dify_kernel.errors import DatasourceError

from dify_datasources_jina.api import JinaApi

__all__ = ["JinaReader", "page_of"]

#: The most pages that the service takes for one crawl, and that are fetched of it at once.
_MOST_PAGES: Final = 100
_PART: Final = 10
#: How the service tells that the site answered with an error, in place of an error of its own.
_SITE_ERROR: Final = re.compile(r"Target URL returned error (\d{3})")


class JinaReader(WebsiteCrawl):
    """Has Jina Reader read pages."""

    name = "jina_reader"
    label = "Jina Reader"
    description = "Has Jina Reader read a page and the most relevant of those that it leads to."

    def __init__(self, http: HttpClient, pause: float) -> None:
        self._http, self._pause = http, pause

    def crawl(self, parameters: CrawlParameters, credentials: Any) -> AsyncIterator[CrawlProgress]:
        """As the contract says."""
        if not parameters.crawl_sub_pages or parameters.max_depth == 0:
            return self._alone(parameters, credentials)
        crawl = _Crawl(JinaApi(self._http, credentials), parameters)
        return follow_crawl(crawl, limit=parameters.limit, pause=self._pause)

    async def read(self, url: str, credentials: Any, *, only_main_content: bool = True) -> WebPage:
        """One page as it is now."""
        api = JinaApi(self._http, credentials)
        return page_of(await api.read(page_address(url), only_main_content=only_main_content), url)

    async def _alone(self, wish: CrawlParameters, credentials: Any) -> AsyncIterator[CrawlProgress]:
        url = page_address(wish.url)
        page = await self.read(url, credentials, only_main_content=wish.only_main_content)
        yield CrawlProgress(completed=1, total=1, pages=[page])


class _Crawl(ServiceCrawl):
    """One crawl: which of its pages have been fetched, and what was wrong with the first that is none."""

    def __init__(self, api: JinaApi, wish: CrawlParameters) -> None:
        self._api, self._wish = api, wish
        self._url = page_address(wish.url)
        self._paths = Paths(wish.include_paths, wish.exclude_paths)
        self._id = ""
        self._fetched: set[str] = set()
        self._problem: DatasourceError | None = None

    async def start(self) -> None:
        most = min(self._wish.limit, _MOST_PAGES)
        self._id = await self._api.start(self._url, most, use_sitemap=self._wish.use_sitemap)

    async def news(self) -> CrawlNews:
        task = await self._api.task(self._id)
        if task.get("status") == "failed":
            said = task.get("statusText") or "no reason is given"
            raise DatasourceError(f"Jina's crawl of {self._url} failed: {said}.", hint="Start it again.")
        self._note_failures(_pages(task, "failed"))
        ready = [url for url in _pages(task, "processed") if url not in self._fetched and self._wants(url)]
        part = ready[:_PART]
        found = _pages(await self._api.task(self._id, part), "processed") if part else {}
        self._fetched.update(part)
        urls = [url for url in task.get("urls") or () if isinstance(url, str)]
        return CrawlNews(
            pages=[page for url in part if (page := self._page(found.get(url), url)) is not None],
            total=sum(self._wants(url) for url in urls),
            more=len(ready) > len(part),
            ended=task.get("status") == "completed" and len(ready) == len(part),
        )

    async def stop(self) -> None:
        """The service has no way to end a crawl."""

    async def nothing(self) -> DatasourceError:
        return self._problem or no_text(self._url)

    def _wants(self, url: str) -> bool:
        """Whether a page is wanted: the service knows no patterns. The first one always is."""
        return url.rstrip("/") == self._url.rstrip("/") or self._paths.wants(url)

    def _page(self, answer: Any, url: str) -> WebPage | None:
        """The page; None for one that is left out."""
        data = answer.get("data") if isinstance(answer, dict) else None
        try:
            return page_of(data if isinstance(data, dict) else {}, url)
        except DatasourceError as exc:
            self._problem = self._problem or exc
            return None

    def _note_failures(self, failed: Mapping[str, Any]) -> None:
        for url, found in failed.items():
            reason = found.get("reason") if isinstance(found, dict) else found
            self._problem = self._problem or DatasourceError(
                f"Jina Reader could not read {url}: {reason}.", hint="Open it in a browser, and try again."
            )


def page_of(data: Mapping[str, Any], url: str) -> WebPage:
    """The page of an answer of the Reader, under the address that it was asked for.

    `refusal` of the status that the site answered with, DatasourceError for a page without text.
    """
    site_error = _SITE_ERROR.search(_text(data.get("warning")))
    if site_error is not None:
        raise refusal(HttpResponse(status=int(site_error[1]), headers=[], content=b""), url)
    content = _text(data.get("content"))
    if not content:
        raise no_text(url)
    return WebPage(
        source_url=url, content=content, title=_text(data.get("title")), description=_text(data.get("description"))
    )


def _pages(task: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What a task says of its pages, by address."""
    found = task.get(name)
    return found if isinstance(found, dict) else {}


def _text(value: Any) -> str:
    return value.replace("\0", "").strip() if isinstance(value, str) else ""
