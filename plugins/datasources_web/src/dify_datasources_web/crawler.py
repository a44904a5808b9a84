"""The crawler: the pages of one host from a first one on, breadth first."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Final
from urllib.parse import urljoin

from dify_kernel.contracts.datasource import CrawlParameters, CrawlProgress, WebPage, WebsiteCrawl
from dify_kernel.contracts.datasource_crawl import Paths
from dify_kernel.contracts.datasource_http import ask, refusal
from dify_kernel.contracts.http import HttpClient, HttpRequest, HttpResponse, Timeout
from dify_kernel.errors import DatasourceError

from dify_datasources_web.addresses import first_address, host_of, link
from dify_datasources_web.page import ParsedPage, parse_page
from dify_datasources_web.robots import AGENT, Robots, robots_of
from dify_datasources_web.sitemap import pages_of_maps

__all__ = ["Crawler"]

_AT_ONCE: Final = 4
_MOST_BYTES: Final = 5 * 1024 * 1024
_MOST_KNOWN: Final = 100_000
_TIMEOUT: Final = Timeout(connect=10, read=30, total=60)
_HTML: Final = ("text/html", "application/xhtml+xml", "")
_TEXT: Final = ("text/plain", "text/markdown")


class Crawler(WebsiteCrawl):
    """Follows the links of a host."""

    name = "crawl"
    label = "Website"
    description = "Reads the pages of a website, without a service."

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    async def crawl(self, parameters: CrawlParameters, credentials: Any) -> AsyncIterator[CrawlProgress]:
        """As the contract says; links to another host are not followed."""
        crawl = _Crawl(self._http, parameters)
        async for message in crawl.run():
            yield message

    async def read(self, url: str, credentials: Any, *, only_main_content: bool = True) -> WebPage:
        """One page, when robots.txt allows it."""
        address = first_address(url)
        found = await _fetch(self._http, address, await robots_of(self._http, address), main=only_main_content)
        return _web_page(*found)


class _Crawl:
    """One crawl: what is known, what waits, and how many pages have come."""

    def __init__(self, http: HttpClient, wish: CrawlParameters) -> None:
        self._http, self._wish = http, wish
        self._paths = Paths(wish.include_paths, wish.exclude_paths)
        self._first = first_address(wish.url)
        self._waiting: deque[tuple[str, int]] = deque()
        self._known: set[str] = {self._first}
        self._given: set[str] = set()
        self._host = host_of(self._first)

    async def run(self) -> AsyncIterator[CrawlProgress]:
        robots = await robots_of(self._http, self._first)
        url, parsed = await _fetch(self._http, self._first, robots, main=self._wish.only_main_content)
        if host_of(url) != self._host:
            self._host, robots = host_of(url), await robots_of(self._http, url)
            if not robots.allows(url):
                raise _forbidden(url)
        told = self._progress(self._taken(url, parsed, 0))
        if self._wish.crawl_sub_pages and self._wish.use_sitemap and self._wish.max_depth:
            maps = robots.sitemaps or [urljoin(url, "/sitemap.xml")]
            self._note(await pages_of_maps(self._http, maps, self._host), 1)
            told = self._progress(told.pages)
        if told.pages:
            yield told
        while self._waiting and len(self._given) < self._wish.limit:
            if pages := await self._next(robots):
                told = self._progress(pages)
                yield told
        if not self._given:
            raise _empty(url)
        if told.total != len(self._given):  # some of what was known could not be read
            yield CrawlProgress(completed=len(self._given), total=len(self._given))

    async def _next(self, robots: Robots) -> list[WebPage]:
        """The pages of the next few addresses, in their order."""
        at_once = 1 if robots.delay else min(_AT_ONCE, self._wish.limit - len(self._given))
        some = [self._waiting.popleft() for _ in range(min(at_once, len(self._waiting)))]
        if robots.delay:
            await asyncio.sleep(robots.delay)
        answers = await asyncio.gather(*[self._quietly(url, robots) for url, _ in some])
        pages = []
        for (_, depth), found in zip(some, answers, strict=True):
            if found is not None and host_of(found[0]) == self._host:
                pages += self._taken(*found, depth)
        return pages

    async def _quietly(self, url: str, robots: Robots) -> tuple[str, ParsedPage] | None:
        """A page; None for one that cannot be read: the crawl goes on without it."""
        try:
            return await _fetch(self._http, url, robots, main=self._wish.only_main_content)
        except DatasourceError:
            return None

    def _taken(self, url: str, parsed: ParsedPage, depth: int) -> list[WebPage]:
        """Note where a page leads; the page itself, if it may be kept and has not come yet."""
        self._known.add(url)
        if self._wish.crawl_sub_pages and depth < self._wish.max_depth:
            self._note(parsed.links, depth + 1)
        if not parsed.indexed or not parsed.content.strip() or url in self._given:
            return []
        self._given.add(url)
        return [_web_page(url, parsed)]

    def _note(self, links: list[str], depth: int) -> None:
        for url in links:
            if url in self._known or len(self._known) >= _MOST_KNOWN:
                continue
            self._known.add(url)
            if host_of(url) == self._host and self._paths.wants(url):
                self._waiting.append((url, depth))

    def _progress(self, pages: list[WebPage]) -> CrawlProgress:
        done = len(self._given)
        return CrawlProgress(completed=done, total=min(self._wish.limit, done + len(self._waiting)), pages=pages)


async def _fetch(http: HttpClient, url: str, robots: Robots, *, main: bool) -> tuple[str, ParsedPage]:
    """A page and the address where it is; DatasourceError for one that must not or cannot be read."""
    if not robots.allows(url):
        raise _forbidden(url)
    request = HttpRequest(
        method="GET",
        url=url,
        headers=[("User-Agent", AGENT), ("Accept", "text/html,application/xhtml+xml,text/plain;q=0.8")],
        timeout=_TIMEOUT,
        follow_redirects=True,
        max_bytes=_MOST_BYTES,
    )
    answer = await ask(http, request, url)
    if answer.status >= 300:
        raise refusal(answer, url)
    # Without redirects the address stays in the spelling that it was found in.
    place = link("", answer.url) if answer.url else url
    place = place or url
    if host_of(place) == host_of(url) and not robots.allows(place):
        raise _forbidden(place)
    return place, await _parsed(answer, place, main=main)


async def _parsed(answer: HttpResponse, url: str, *, main: bool) -> ParsedPage:
    kind, _, more = (answer.header("content-type") or "").partition(";")
    kind = kind.strip().lower()
    if kind in _TEXT:
        return ParsedPage(title="", description="", content=answer.text.replace("\0", "").strip(), links=[])
    if kind not in _HTML:
        raise DatasourceError(
            f"{url} is a file of the type {kind}, no page.", hint="Download it and upload it as a document."
        )
    charset = next((part.partition("=")[2] for part in more.split(";") if "charset=" in part.lower()), "")
    # A page of megabytes takes a while, in which the loop would serve nobody.
    return await asyncio.to_thread(
        parse_page, answer.content, charset.strip("\"' ") or None, url, only_main_content=main
    )


def _web_page(url: str, parsed: ParsedPage) -> WebPage:
    if not parsed.content.strip():
        raise _empty(url)
    return WebPage(source_url=url, content=parsed.content, title=parsed.title, description=parsed.description)


def _empty(url: str) -> DatasourceError:
    return DatasourceError(f"{url} has no text to read.", hint="A page that a script fills cannot be read.")


def _forbidden(url: str) -> DatasourceError:
    return DatasourceError(f"The robots.txt of {host_of(url)} does not allow {url} to be read.", hint="Ask its owner.")
