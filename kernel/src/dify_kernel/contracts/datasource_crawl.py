"""What crawls of websites have in common: addresses, patterns of paths, and following one that a service does."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import Final
from urllib.parse import urlsplit

import msgspec

from dify_kernel.contracts.datasource import CrawlProgress, WebPage
from dify_kernel.errors import DatasourceError, DatasourceUnavailable

__all__ = ["CrawlNews", "Paths", "ServiceCrawl", "follow_crawl", "no_text", "page_address"]

#: How often a service that is away is asked once more before a crawl is given up, with doubling pauses.
_TRIES: Final = 5
_TIME_TO_STOP: Final = 10.0


def page_address(url: str) -> str:
    """The address that a person entered, https:// where it says nothing; DatasourceError for what is none."""
    found = url.strip() if "://" in url else f"https://{url.strip()}"
    try:
        parts = urlsplit(found)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and not any(map(str.isspace, found))
    except ValueError:
        good = False
    if not good:
        raise DatasourceError(
            f"{url!r} is not the address of a page.", hint="Enter one with http:// or https://.", field="url"
        )
    return found


def no_text(url: str) -> DatasourceError:
    """What is raised for a page, or a site, that was read and has nothing in it."""
    return DatasourceError(f"{url} has no text to read.", hint="Open it in a browser, and look for text there.")


class Paths:
    """Which paths a crawl wants: patterns such as `blog/*, about`, separated by commas; `*` is any text."""

    def __init__(self, include: str, exclude: str) -> None:
        self.include, self.exclude = _patterns(include), _patterns(exclude)

    def wants(self, url: str) -> bool:
        """Whether the path of an address is included, where anything is, and not excluded."""
        path = urlsplit(url).path.strip("/")
        if any(fnmatchcase(path, pattern) for pattern in self.exclude):
            return False
        return not self.include or any(fnmatchcase(path, pattern) for pattern in self.include)


def _patterns(text: str) -> list[str]:
    """The patterns of a list, without slashes around them."""
    return [pattern for item in text.split(",") if (pattern := item.strip().strip("/"))]


class CrawlNews(msgspec.Struct, frozen=True, kw_only=True):
    """What a service says of a crawl: pages that it read, which may have come before, and how many it knows of.

    With `more` it has further pages ready and is asked again at once; with `ended` no page comes any more.
    """

    pages: list[WebPage] = []
    total: int = 0
    more: bool = False
    ended: bool = False


class ServiceCrawl(ABC):
    """One crawl that a service does; `follow_crawl` calls these in the order they have here.

    A service that is busy, or answers what is not known, is DatasourceUnavailable. An address where nothing is the
    service is no page that is gone: a DatasourceError that names the field to correct.
    """

    @abstractmethod
    async def start(self) -> None:
        """Have the service begin."""

    @abstractmethod
    async def news(self) -> CrawlNews:
        """What is new; DatasourceUnavailable when it may be asked once more, DatasourceError when the crawl failed."""

    @abstractmethod
    async def stop(self) -> None:
        """Have the service end a crawl that nobody waits for any more; nothing where it has no way to."""

    @abstractmethod
    async def nothing(self) -> DatasourceError:
        """Why a crawl that ended has no page."""


async def follow_crawl(
    crawl: ServiceCrawl, *, limit: int, pause: float, patience: float = 600.0
) -> AsyncIterator[CrawlProgress]:
    """Follow a crawl as `WebsiteCrawl.crawl` promises; `pause` is the seconds between two questions.

    A page without text is left out. A crawl that is left, has its `limit`, or fails here is stopped at the service.
    DatasourceUnavailable when the service says nothing new for `patience` seconds.
    """
    given: set[str] = set()
    told = 0
    ended = False
    await crawl.start()
    changed = time.monotonic()
    try:
        while not ended and len(given) < limit:
            news = await _news(crawl, pause)
            ended = news.ended
            pages = _fresh(news.pages, given, limit)
            enough = ended or len(given) == limit
            total = len(given) if enough else min(max(news.total, len(given)), limit)
            if pages or (total != told and not (enough and not given)):
                told, changed = total, time.monotonic()
                yield CrawlProgress(completed=len(given), total=total, pages=pages)
            if time.monotonic() - changed > patience:
                raise DatasourceUnavailable(
                    f"The service said nothing new of the crawl for {patience:.0f} seconds.", hint="Try again later."
                )
            if not (enough or news.more):
                await asyncio.sleep(pause)
    finally:
        if not ended:
            await _stop(crawl)
    if not given:
        raise await crawl.nothing()


def _fresh(pages: list[WebPage], given: set[str], limit: int) -> list[WebPage]:
    """The pages that have not come yet, as many as may; they are noted in `given`."""
    fresh = []
    for page in pages:
        if len(given) < limit and page.source_url not in given and page.content.strip():
            given.add(page.source_url)
            fresh.append(page)
    return fresh


async def _news(crawl: ServiceCrawl, pause: float) -> CrawlNews:
    """The next news; a service that is busy or away for a moment costs no crawl."""
    for tried in range(_TRIES - 1):
        try:
            return await crawl.news()
        except DatasourceUnavailable:
            await asyncio.sleep(pause * 2**tried)
    return await crawl.news()


async def _stop(crawl: ServiceCrawl) -> None:
    # What ends the crawl here is told; that the service could not be told so would only stand in its way.
    with suppress(DatasourceError, TimeoutError):
        async with asyncio.timeout(_TIME_TO_STOP):
            await crawl.stop()
