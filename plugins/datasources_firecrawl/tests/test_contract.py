"""Firecrawl's crawl keeps the contract of websites, against the simulator."""

from __future__ import annotations

from dify_kernel.testing.datasource import CrawlExample, DatasourceProviderSuite
from dify_kernel.testing.datasource_service import ServiceCrawlSuite

from .firecrawl_server import HOME

ALL = {
    HOME: "Welcome",
    f"{HOME}bees": "Bees",
    f"{HOME}ants/": "Ants",
    f"{HOME}queens": "Queens",
    f"{HOME}ants/deep": "Deep",
}


def only(*paths: str) -> dict[str, str]:
    return {HOME + path: ALL[HOME + path] for path in paths}


class TestProvider(DatasourceProviderSuite):
    """The provider."""


class TestCrawl(ServiceCrawlSuite):
    """The crawl."""

    source = "crawl"
    examples = [
        CrawlExample(parameters={"url": HOME}, pages=ALL),
        CrawlExample(parameters={"url": f" {HOME} ", "max_depth": 1}, pages=only("", "bees", "ants/")),
        CrawlExample(parameters={"url": HOME, "max_depth": 0, "use_sitemap": True}, pages=only("")),
        CrawlExample(parameters={"url": HOME, "use_sitemap": True}, pages={**ALL, f"{HOME}hidden": "Hidden"}),
        CrawlExample(parameters={"url": HOME, "exclude_paths": "ants*"}, pages=only("", "bees", "queens")),
        CrawlExample(parameters={"url": f"{HOME}ants/"}, pages=only("ants/", "ants/deep")),
        CrawlExample(parameters={"url": f"{HOME}gone"}, error="status 404"),
        CrawlExample(parameters={"url": f"{HOME}down"}, error="timed out"),
        CrawlExample(parameters={"url": f"{HOME}blank"}, error="no text"),
        CrawlExample(parameters={"url": "ftp://a.test/"}, error="not the address"),
        CrawlExample(parameters={"url": f"{HOME}busy"}, error="status 503", retryable=True),
    ]
    gone = f"{HOME}gone"
    address = "base_url"
