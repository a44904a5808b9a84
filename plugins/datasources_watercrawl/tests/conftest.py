"""A site that a simulated WaterCrawl crawls on loopback, and the provider over a real HTTP client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from dify_datasources_watercrawl.provider import WaterCrawlSources
from dify_datasources_watercrawl.settings import WaterCrawlCredentials
from dify_kernel.settings import Secret
from dify_kernel.testing.loopback import Loopback
from dify_kernel.testing.plain_http import PlainHttpClient

from .watercrawl_server import HOME, KEY, Page, WaterCrawl, watercrawl_server


class Quick(WaterCrawlSources):
    """The provider without its pauses."""

    pause = 0.0


@pytest.fixture
def watercrawl() -> Iterator[WaterCrawl]:
    """Five pages that links lead to, one without text, and one that is not there."""
    site = {
        HOME: Page("Welcome", f"{HOME}bees", f"{HOME}ants/", f"{HOME}gone", f"{HOME}blank"),
        f"{HOME}bees": Page("Bees dance", HOME, f"{HOME}queens", **{"og:title": "Bees"}),
        f"{HOME}ants/": Page("Ants march", f"{HOME}ants/deep"),
        f"{HOME}queens": Page("Queens rule"),
        f"{HOME}ants/deep": Page("Deep below"),
        f"{HOME}blank": Page(""),
    }
    with watercrawl_server(WaterCrawl(site)) as made:
        yield made


@pytest.fixture
def service(watercrawl: WaterCrawl) -> Loopback:
    return watercrawl.server


@pytest.fixture
async def provider() -> AsyncIterator[WaterCrawlSources]:
    async with PlainHttpClient() as http:
        yield Quick(http)


@pytest.fixture
def credentials(watercrawl: WaterCrawl) -> WaterCrawlCredentials:
    return WaterCrawlCredentials(api_key=Secret(KEY), base_url=f"{watercrawl.url}/")


@pytest.fixture
def wrong_credentials(watercrawl: WaterCrawl) -> WaterCrawlCredentials:
    return WaterCrawlCredentials(api_key=Secret("wc-wrong"), base_url=watercrawl.url)
