"""The crawler keeps the contract of websites."""

from __future__ import annotations

from typing import Any

import pytest
from dify_datasources_web.provider import NoCredentials, WebSources
from dify_kernel.contracts.http import HttpResponse, HttpTimeout, HttpTooLarge
from dify_kernel.errors import OutboundRefused
from dify_kernel.testing.datasource import CrawlExample, DatasourceProviderSuite, WebsiteCrawlSuite
from dify_kernel.testing.fakes import FakeHttp


def page(text: str, *links: str, status: int = 200, kind: str = "text/html; charset=utf-8") -> HttpResponse:
    anchors = " ".join(f'<a href="{link}">x</a>' for link in links)
    body = f"<html><head><title>{text}</title></head><body><main><p>{text} {anchors}</p></main></body></html>"
    return HttpResponse(status=status, headers=[("content-type", kind)], content=body.encode())


ANSWERS: dict[str, Any] = {
    "/robots.txt": HttpResponse(status=200, headers=[], content=b"User-agent: *\nDisallow: /private\n"),
    "/": page(
        "Welcome", "/bees#top", "bees", "/ants/", "https://other.test/", "/private/x", "/gone", "/file", "mailto:a"
    ),
    "/bees": page("Bees dance", "/", "/queens"),
    "/ants/": page("Ants march", "deep"),
    "/queens": page("Queens rule"),
    "/ants/deep": page("Deep below"),
    "/private/x": page("Secret"),
    "/gone": page("no", status=404),
    "/file": page("%PDF", kind="application/pdf"),
    "/blank": page(""),
    "/busy": page("no", status=503),
    "/down": HttpTimeout("It took too long."),
    "/large": HttpTooLarge("It is larger than 5 MB."),
    "/inside": OutboundRefused("a.test is not public."),
}
HOME = "https://a.test/"
ALL = {
    HOME: "Welcome",
    f"{HOME}bees": "Bees",
    f"{HOME}ants/": "Ants",
    f"{HOME}queens": "Queens",
    f"{HOME}ants/deep": "Deep",
}


def only(*paths: str) -> dict[str, str]:
    return {HOME + path: ALL[HOME + path] for path in paths}


@pytest.fixture
def provider() -> WebSources:
    return WebSources(FakeHttp(ANSWERS))


@pytest.fixture
def credentials() -> NoCredentials:
    return NoCredentials()


@pytest.fixture
def wrong_credentials() -> None:
    return None


class TestProvider(DatasourceProviderSuite):
    """The provider."""


class TestCrawler(WebsiteCrawlSuite):
    """The crawler."""

    source = "crawl"
    examples = [
        CrawlExample(parameters={"url": HOME}, pages=ALL),
        CrawlExample(parameters={"url": " a.test "}, pages=ALL),
        CrawlExample(parameters={"url": HOME, "max_depth": 1}, pages=only("", "bees", "ants/")),
        CrawlExample(parameters={"url": HOME, "include_paths": "ants, /ants/*"}, pages=only("", "ants/", "ants/deep")),
        CrawlExample(parameters={"url": HOME, "exclude_paths": "ants*"}, pages=only("", "bees", "queens")),
        CrawlExample(parameters={"url": f"{HOME}private/x"}, error="robots.txt"),
        CrawlExample(parameters={"url": f"{HOME}gone"}, error="status 404"),
        CrawlExample(parameters={"url": f"{HOME}file"}, error="application/pdf"),
        CrawlExample(parameters={"url": f"{HOME}blank"}, error="no text"),
        CrawlExample(parameters={"url": f"{HOME}large"}, error="5 MB"),
        CrawlExample(parameters={"url": f"{HOME}inside"}, error="not public"),
        CrawlExample(parameters={"url": "ftp://a.test/"}, error="not the address"),
        CrawlExample(parameters={"url": f"{HOME}busy"}, error="status 503", retryable=True),
        CrawlExample(parameters={"url": f"{HOME}down"}, error="too long", retryable=True),
    ]
    gone = f"{HOME}gone"
