"""Jina Reader keeps the contract of websites, against the simulator."""

from __future__ import annotations

from dify_kernel.testing.datasource import CrawlExample, DatasourceProviderSuite
from dify_kernel.testing.datasource_service import ServiceCrawlSuite

from .jina_server import HOME

ALL = {HOME: "Welcome", f"{HOME}bees": "Bees", f"{HOME}ants/": "Ants", f"{HOME}queens": "Queens"}


def only(*paths: str) -> dict[str, str]:
    return {HOME + path: ALL[HOME + path] for path in paths}


class TestProvider(DatasourceProviderSuite):
    """The provider."""


class TestReader(ServiceCrawlSuite):
    """The Reader."""

    source = "jina_reader"
    examples = [
        CrawlExample(parameters={"url": HOME}, pages=ALL),
        CrawlExample(parameters={"url": f" {HOME} ", "max_depth": 0, "use_sitemap": True}, pages=only("")),
        CrawlExample(parameters={"url": HOME, "include_paths": "ants, /ants/*"}, pages=only("", "ants/")),
        CrawlExample(parameters={"url": HOME, "exclude_paths": "ants*"}, pages=only("", "bees", "queens")),
        CrawlExample(parameters={"url": f"{HOME}gone"}, error="status 404"),
        CrawlExample(parameters={"url": f"{HOME}down"}, error="Failed to crawl"),
        CrawlExample(parameters={"url": f"{HOME}down", "crawl_sub_pages": False}, error="could not be resolved"),
        CrawlExample(parameters={"url": f"{HOME}blank"}, error="no text"),
        CrawlExample(parameters={"url": "ftp://a.test/"}, error="not the address"),
        CrawlExample(parameters={"url": f"{HOME}busy"}, error="status 503", retryable=True),
    ]
    gone = f"{HOME}gone"
    address = "addresses among the credentials"
