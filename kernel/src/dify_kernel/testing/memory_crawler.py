"""A service that crawls the site in memory, on loopback, and the source that asks it: the reference of their suite."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any

import msgspec

from dify_kernel.contracts.datasource import CrawlProgress, Datasource, DatasourceProvider, WebPage, WebsiteCrawl
from dify_kernel.contracts.datasource_crawl import CrawlNews, ServiceCrawl, follow_crawl
from dify_kernel.contracts.datasource_http import ask_json, checking
from dify_kernel.contracts.http import HttpClient, HttpRequest
from dify_kernel.errors import DatasourceError, DatasourceItemNotFound, DatasourceUnavailable
from dify_kernel.settings import Doc, Secret
from dify_kernel.testing.loopback import Answer, Asked, json_answer
from dify_kernel.testing.memory_datasource import GOOD_KEY, SITE

__all__ = ["CrawlerCredentials", "CrawlerProvider", "CrawlerSite", "crawler_answers"]


class CrawlerCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """A key, and where the service is."""

    api_key: Annotated[Secret, Doc("The key of the memory.")]
    base_url: Annotated[str, Doc("The address of the service.")]


def crawler_answers(asked: Asked) -> Answer:
    """What the service says: `GET /crawl?url=&limit=&depth=&from=` gives two pages a question, `GET /page?url=` one."""
    if asked.headers.get("authorization") != f"Bearer {GOOD_KEY}":
        return json_answer(401, {"message": f"The key {asked.headers.get('authorization')} is not known."})
    wish = dict(asked.query)
    if asked.path == "/key":
        return json_answer(200, {"valid": True})
    if asked.path == "/page":
        return json_answer(200, _page(wish["url"]))
    if asked.path == "/crawl":
        found = _reached(wish["url"], int(wish["limit"]), int(wish["depth"]))
        begin = int(wish["from"])
        pages = [_page(url) for url in found[begin : begin + 2]]
        return json_answer(200, {"total": len(found), "pages": pages})
    return json_answer(404, {"message": "Nothing is here."})


def _page(url: str) -> dict[str, Any]:
    return {"url": url, "text": SITE[url][0] if url in SITE else None}


def _reached(first: str, limit: int, depth: int) -> list[str]:
    """The pages that a crawl comes to, breadth first."""
    waiting, found = [(first, 0)], list[str]()
    while waiting and len(found) < limit:
        url, links = waiting.pop(0)
        if url in SITE and url not in found and links <= depth:
            found.append(url)
            waiting += [(link, links + 1) for link in SITE[url][1]]
    return found


class CrawlerSite(WebsiteCrawl):
    """Has the service read pages."""

    name, label, description = "crawl", "Crawl", "A website that a service in memory reads."

    def __init__(self, http: HttpClient) -> None:
        self.http = http

    def crawl(self, parameters: Any, credentials: Any) -> AsyncIterator[CrawlProgress]:
        """As the contract says."""
        return follow_crawl(_Crawl(self, parameters, credentials), limit=parameters.limit, pause=0)

    async def read(self, url: str, credentials: Any, *, only_main_content: bool = True) -> WebPage:
        """One page."""
        found = await self.ask("page", credentials, url=url)
        if "text" not in found:
            raise _unknown()
        if found["text"] is None:
            raise DatasourceItemNotFound(f"There is no page {url}.")
        return WebPage(source_url=url, content=found["text"])

    async def ask(self, path: str, credentials: Any, **wish: Any) -> dict[str, Any]:
        """What the service answers."""
        key = credentials.api_key
        request = HttpRequest(
            method="GET",
            url=f"{credentials.base_url}/{path}",
            params=[(name, str(value)) for name, value in wish.items()],
            headers=[("Authorization", f"Bearer {key.reveal()}")],
        )
        try:
            found = await ask_json(self.http, request, "The crawler", secret=key)
        except DatasourceItemNotFound as exc:
            raise DatasourceError(exc.message, hint="Check base_url.") from exc
        if not isinstance(found, dict):
            raise _unknown()
        return found


class _Crawl(ServiceCrawl):
    """One crawl, which is where it is in the list of its pages."""

    def __init__(self, source: CrawlerSite, wish: Any, credentials: Any) -> None:
        self._source, self._wish, self._credentials = source, wish, credentials
        self._seen = 0

    async def start(self) -> None:
        await self._ask()

    async def news(self) -> CrawlNews:
        found = await self._ask()
        self._seen += len(found["pages"])
        pages = [WebPage(source_url=page["url"], content=page["text"]) for page in found["pages"]]
        return CrawlNews(pages=pages, total=found["total"], ended=self._seen == found["total"])

    async def stop(self) -> None:
        """It goes on only while it is asked."""

    async def nothing(self) -> DatasourceError:
        return DatasourceItemNotFound(f"There is no page {self._wish.url}.")

    async def _ask(self) -> dict[str, Any]:
        wish, depth = self._wish, self._wish.max_depth if self._wish.crawl_sub_pages else 0
        found = await self._source.ask(
            "crawl", self._credentials, **{"url": wish.url, "limit": wish.limit, "depth": depth, "from": self._seen}
        )
        if "pages" not in found:
            raise _unknown()
        return found


class CrawlerProvider(DatasourceProvider):
    """One source."""

    name, label, Credentials = "crawler", "Crawler", CrawlerCredentials

    def __init__(self, http: HttpClient) -> None:
        super().__init__(http)
        self.site = CrawlerSite(http)

    def datasources(self) -> Sequence[Datasource]:
        """The crawl."""
        return (self.site,)

    async def check(self, credentials: Any) -> None:
        """Ask about the key."""
        with checking():
            await self.site.ask("key", credentials)


def _unknown() -> DatasourceUnavailable:
    return DatasourceUnavailable("The crawler answered something unknown.", hint="Check base_url.")
