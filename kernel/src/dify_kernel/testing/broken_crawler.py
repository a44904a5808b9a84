"""The suite of service crawls as the author of the one in memory sets it up, and sources with one fault each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

from dify_kernel.contracts.datasource import WebPage
from dify_kernel.contracts.http import HttpClient
from dify_kernel.errors import DatasourceError, DatasourceItemNotFound, DatasourceUnavailable
from dify_kernel.testing.datasource import CrawlExample
from dify_kernel.testing.datasource_service import ServiceCrawlSuite
from dify_kernel.testing.memory_crawler import CrawlerProvider, CrawlerSite
from dify_kernel.testing.memory_datasource import SITE

__all__ = ["BROKEN_CRAWLERS", "CrawlerSuite"]

_HOME: Final = "https://site.test/"


class CrawlerSuite(ServiceCrawlSuite):
    """The crawl of the service in memory."""

    source: ClassVar[str] = "crawl"
    examples: ClassVar[Sequence[CrawlExample]] = [
        CrawlExample(parameters={"url": _HOME}, pages={url: text for url, (text, _) in SITE.items()}),
        CrawlExample(parameters={"url": f"{_HOME}wasps"}, error="no page"),
    ]
    gone: ClassVar[str] = f"{_HOME}wasps"
    address: ClassVar[str] = "base_url"


class _GivesUp(CrawlerSite):
    """Takes a service that is away for a moment for the end of its crawl."""

    async def ask(self, path: str, credentials: Any, **wish: Any) -> dict[str, Any]:
        try:
            return await super().ask(path, credentials, **wish)
        except DatasourceUnavailable as exc:
            if wish.get("from"):
                raise DatasourceError(exc.message) from exc
            raise


class _AsksTwice(CrawlerSite):
    """Begins at once again what the service was too busy for."""

    async def ask(self, path: str, credentials: Any, **wish: Any) -> dict[str, Any]:
        try:
            return await super().ask(path, credentials, **wish)
        except DatasourceUnavailable as exc:
            if "status 429" not in exc.message:
                raise
            return await super().ask(path, credentials, **wish)


class _UnknownIsGone(CrawlerSite):
    """Takes an answer without a text for a page without one."""

    async def read(self, url: str, credentials: Any, *, only_main_content: bool = True) -> WebPage:
        found = await self.ask("page", credentials, url=url)
        if not found.get("text"):
            raise DatasourceItemNotFound(f"There is no page {url}.")
        return WebPage(source_url=url, content=found["text"])


class _WrongAddressIsGone(CrawlerSite):
    """Takes the status of the service for that of the page."""

    async def ask(self, path: str, credentials: Any, **wish: Any) -> dict[str, Any]:
        try:
            return await super().ask(path, credentials, **wish)
        except DatasourceError as exc:
            if isinstance(exc.__cause__, DatasourceItemNotFound):
                raise exc.__cause__ from None
            raise


class _RepeatsTheSecret(CrawlerSite):
    """Tells with what it asked for more than it may have."""

    async def ask(self, path: str, credentials: Any, **wish: Any) -> dict[str, Any]:
        try:
            return await super().ask(path, credentials, **wish)
        except DatasourceError as exc:
            if "status 402" not in exc.message:
                raise
            raise DatasourceError(f"{exc.message} Asked with {credentials.api_key.reveal()}.", hint=exc.hint) from exc


def _with(site: type[CrawlerSite]) -> type[CrawlerProvider]:
    class Provider(CrawlerProvider):
        def __init__(self, http: HttpClient) -> None:
            super().__init__(http)
            self.site = site(http)

    return Provider


#: Each flaw: the provider, and a test of the suite that must fail.
BROKEN_CRAWLERS: Final[dict[str, tuple[type[CrawlerProvider], str]]] = {
    "gives up": (_with(_GivesUp), "test_a_busy_service_is_asked_again"),
    "asks twice": (_with(_AsksTwice), "test_a_service_that_is_busy_at_first_is_told"),
    "unknown is gone": (_with(_UnknownIsGone), "test_answers_that_are_unknown_are_for_later"),
    "wrong address is gone": (
        _with(_WrongAddressIsGone),
        "test_an_address_that_is_not_the_service_is_no_page_that_is_gone",
    ),
    "repeats the secret": (_with(_RepeatsTheSecret), "test_a_secret_that_the_service_repeats_is_not_told"),
}
