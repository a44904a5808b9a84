"""The conformance suite of a website source that has a service crawl: that of websites, and what the service may do.

class TestCrawl(ServiceCrawlSuite):        # the fixtures of WebsiteCrawlSuite; the provider makes no pauses
    source = "crawl"
    examples = [CrawlExample(parameters={"url": "https://a.test/"}, pages={"https://a.test/": "Welcome", ...})]
    gone = "https://a.test/gone"
    address = "base_url"

    @pytest.fixture
    def service(self):                     # the simulator that `provider` asks
        with loopback(answer) as server:
            yield server
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, Final

import msgspec
import pytest

from dify_kernel.contracts.datasource import DatasourceProvider
from dify_kernel.errors import (
    CredentialsValidateFailedError,
    DatasourceError,
    DatasourceItemNotFound,
    DatasourceUnavailable,
)
from dify_kernel.settings import Secret
from dify_kernel.testing.datasource import WebsiteCrawlSuite, crawled, pages_of
from dify_kernel.testing.loopback import Answer, Loopback, json_answer

__all__ = ["ServiceCrawlSuite"]

_AWAY: Final[Answer] = (502, {"Content-Type": "text/html"}, b"<html>Bad gateway</html>")
Asking = Callable[[], Coroutine[Any, Any, Any]]


class ServiceCrawlSuite(WebsiteCrawlSuite, suite=True):
    """What a website source owes the host besides when a service crawls for it.

    The first example that succeeds is a crawl whose first message is not its last.
    """

    #: What an error names when nothing at the address is the service: the field to correct.
    address: ClassVar[str]

    async def test_a_busy_service_is_asked_again(
        self, provider: DatasourceProvider, credentials: Any, service: Loopback
    ) -> None:
        """Troubleshooting: let `follow_crawl` follow the crawl; it asks once more after DatasourceUnavailable."""
        example, source = self._good(provider)[0]
        crawl = source.crawl(source.Parameters(**example.parameters), credentials)
        messages = [await anext(crawl)]
        service.queued += [_told(429, "Slow down"), _AWAY, _told(503, "Down")]
        messages += [message async for message in crawl]
        assert not service.queued, "the first message was the last"
        assert {page.source_url for page in pages_of(messages)} == set(example.pages)

    async def test_a_service_that_is_busy_at_first_is_told(
        self, provider: DatasourceProvider, credentials: Any, service: Loopback
    ) -> None:
        """Troubleshooting: whoever began the crawl decides when to begin it again."""
        for ask in self._asking(provider, credentials):
            service.queued.append(_told(429, "Slow down, please"))
            with pytest.raises(DatasourceUnavailable, match="Slow down, please"):
                await ask()

    async def test_answers_that_are_unknown_are_for_later(
        self, provider: DatasourceProvider, credentials: Any, service: Loopback
    ) -> None:
        """Troubleshooting: a proxy, or a service of another version, answered."""
        unknown: list[Answer] = [json_answer(200, []), json_answer(200, {}), (200, {}, b"<html>"), (200, {}, b"")]
        for answer in unknown:
            for ask in self._asking(provider, credentials):
                service.queued.append(answer)
                with pytest.raises(DatasourceUnavailable):
                    await ask()

    async def test_an_address_that_is_not_the_service_is_no_page_that_is_gone(
        self, provider: DatasourceProvider, credentials: Any, service: Loopback
    ) -> None:
        """Troubleshooting: status 404 is of the service's address, and DatasourceItemNotFound would delete the page."""
        service.answer = json_answer(404, {})
        with pytest.raises(CredentialsValidateFailedError, match=self.address):
            await provider.check(credentials)
        for ask in self._asking(provider, credentials):
            with pytest.raises(DatasourceError, match=self.address) as caught:
                await ask()
            assert not isinstance(caught.value, DatasourceItemNotFound)

    async def test_a_secret_that_the_service_repeats_is_not_told(
        self, provider: DatasourceProvider, credentials: Any, service: Loopback
    ) -> None:
        """Troubleshooting: give the secret to `ask_json` or `refusal`."""
        values = [value.reveal() for value in msgspec.structs.astuple(credentials) if isinstance(value, Secret)]
        for ask in self._asking(provider, credentials):
            service.queued.append(_told(402, f"No credit is left for {' and '.join(values)}."))
            with pytest.raises(DatasourceError, match="No credit is left for") as caught:
                await ask()
            assert not caught.value.retryable
            assert not any(value in f"{caught.value} {caught.value.where}" for value in values)

    def _asking(self, provider: DatasourceProvider, credentials: Any) -> list[Asking]:
        """Each way to ask for pages."""
        example, source = self._good(provider)[0]

        async def crawl() -> Any:
            return await crawled(source, credentials, **example.parameters)

        async def read() -> Any:
            return await source.read(next(iter(example.pages)), credentials)

        return [crawl, read]


def _told(status: int, words: str) -> Answer:
    """An error, under each of the names that services give to its words."""
    return json_answer(status, {"message": words, "error": words, "detail": words})
