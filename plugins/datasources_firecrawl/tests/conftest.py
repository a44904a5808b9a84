"""A site that a simulated Firecrawl crawls on loopback, and the provider over a real HTTP client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from dify_datasources_firecrawl.provider import FirecrawlSources
from dify_datasources_firecrawl.settings import FirecrawlCredentials
from dify_kernel.settings import Secret
from dify_kernel.testing.loopback import Loopback
from dify_kernel.testing.plain_http import PlainHttpClient

from .firecrawl_server import HOME, KEY, Firecrawl, Page, firecrawl_server


class Quick(FirecrawlSources):
    """The provider without its pauses."""

    pause = 0.0


@pytest.fixture
def firecrawl() -> Iterator[Firecrawl]:
    """Five pages that links lead to, one of a map, and some that cannot be read."""
    site = {
        HOME: Page("Welcome", f"{HOME}bees", f"{HOME}ants/", f"{HOME}gone", f"{HOME}blank", f"{HOME}down"),
        f"{HOME}bees": Page("Bees dance", HOME, f"{HOME}queens", title=["Bees", "All of them"]),
        f"{HOME}ants/": Page("Ants march", f"{HOME}ants/deep"),
        f"{HOME}queens": Page("Queens rule"),
        f"{HOME}ants/deep": Page("Deep below"),
        f"{HOME}hidden": Page("Hidden"),
        f"{HOME}blank": Page(""),
        f"{HOME}down": Page("no", status=0),
        f"{HOME}busy": Page("no", status=503),
    }
    with firecrawl_server(Firecrawl(site, sitemap=(f"{HOME}hidden",))) as made:
        yield made


@pytest.fixture
def service(firecrawl: Firecrawl) -> Loopback:
    return firecrawl.server


@pytest.fixture
async def provider() -> AsyncIterator[FirecrawlSources]:
    async with PlainHttpClient() as http:
        yield Quick(http)


@pytest.fixture
def credentials(firecrawl: Firecrawl) -> FirecrawlCredentials:
    return FirecrawlCredentials(firecrawl_api_key=Secret(KEY), base_url=f"{firecrawl.url}/")


@pytest.fixture
def wrong_credentials(firecrawl: Firecrawl) -> FirecrawlCredentials:
    return FirecrawlCredentials(firecrawl_api_key=Secret("fc-wrong"), base_url=firecrawl.url)
