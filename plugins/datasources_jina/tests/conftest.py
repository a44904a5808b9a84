"""A site that a simulated Jina Reader reads on loopback, and the provider over a real HTTP client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from dify_datasources_jina.provider import JinaSources
from dify_datasources_jina.settings import JinaCredentials
from dify_kernel.settings import Secret
from dify_kernel.testing.loopback import Loopback
from dify_kernel.testing.plain_http import PlainHttpClient

from .jina_server import HOME, KEY, Jina, Page, jina_server


class Quick(JinaSources):
    """The provider without its pauses."""

    pause = 0.0


@pytest.fixture
def jina() -> Iterator[Jina]:
    """Four pages that links lead to, one of a map, and some that cannot be read."""
    site = {
        "https://example.com": Page("An example"),
        HOME: Page("Welcome", f"{HOME}bees", f"{HOME}ants/", f"{HOME}gone", f"{HOME}blank", f"{HOME}down"),
        f"{HOME}bees": Page("Bees dance", HOME, f"{HOME}queens"),
        f"{HOME}ants/": Page("Ants march"),
        f"{HOME}queens": Page("Queens rule"),
        f"{HOME}hidden": Page("Hidden"),
        f"{HOME}blank": Page(""),
        f"{HOME}down": Page("no", status=0),
        f"{HOME}busy": Page("no", status=503),
    }
    with jina_server(Jina(site, sitemap=(f"{HOME}hidden",))) as made:
        yield made


@pytest.fixture
def service(jina: Jina) -> Loopback:
    return jina.server


@pytest.fixture
async def provider() -> AsyncIterator[JinaSources]:
    async with PlainHttpClient() as http:
        yield Quick(http)


def credentials_of(jina: Jina, key: str) -> JinaCredentials:
    """A key, and the addresses of the simulator."""
    crawl, status = f"{jina.url}/crawl", f"{jina.url}/status"
    return JinaCredentials(api_key=Secret(key), base_url=f"{jina.url}/", crawl_url=crawl, crawl_status_url=status)


@pytest.fixture
def credentials(jina: Jina) -> JinaCredentials:
    return credentials_of(jina, KEY)


@pytest.fixture
def wrong_credentials(jina: Jina) -> JinaCredentials:
    return credentials_of(jina, "jina_wrong")
