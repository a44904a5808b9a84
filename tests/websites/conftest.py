"""A console over all installed plugins, and each service that crawls websites, simulated on loopback over one site."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import msgspec
import pytest
from dify_datasources_firecrawl.provider import FirecrawlSources
from dify_datasources_jina.provider import JinaSources
from dify_datasources_watercrawl.provider import WaterCrawlSources

from host.tests.conftest import new_database as new_database
from host.tests.conftest import prepared_urls as prepared_urls
from host.tests.conftest import redis_url as redis_url
from host.tests.conftest import sqlite_url as sqlite_url
from host.tests.console.conftest import app as app
from host.tests.console.conftest import browsers as browsers
from host.tests.console.conftest import built as built
from host.tests.console.conftest import env as env
from host.tests.console.conftest import house as house
from host.tests.console.conftest import openai as openai
from host.tests.console.conftest import owner as owner
from host.tests.console.conftest import platform as platform
from host.tests.console.conftest import web as web
from host.tests.console.conftest import workshop as workshop
from plugins.datasources_firecrawl.tests import firecrawl_server
from plugins.datasources_jina.tests import jina_server
from plugins.datasources_watercrawl.tests import watercrawl_server

HOME = "https://a.test/"


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """A running service: its provider, what a workspace enters for it, and the site that it reads."""

    provider: str
    auth_type: str
    config: dict[str, str]
    site: dict[str, Any]
    page: Callable[..., Any]


def _site(page: Callable[..., Any]) -> dict[str, Any]:
    return {HOME: page("Welcome", f"{HOME}bees"), f"{HOME}bees": page("Bees dance"), "https://example.com": page("x")}


def _firecrawl(stack: ExitStack) -> Service:
    server = firecrawl_server
    site = _site(server.Page)
    url = stack.enter_context(server.firecrawl_server(server.Firecrawl(site))).url
    config = {"api_key": server.KEY, "base_url": url}
    return Service(provider="firecrawl", auth_type="bearer", config=config, site=site, page=server.Page)


def _watercrawl(stack: ExitStack) -> Service:
    server = watercrawl_server
    site = _site(server.Page)
    url = stack.enter_context(server.watercrawl_server(server.WaterCrawl(site))).url
    config = {"api_key": server.KEY, "base_url": url}
    return Service(provider="watercrawl", auth_type="x-api-key", config=config, site=site, page=server.Page)


def _jina(stack: ExitStack) -> Service:
    server = jina_server
    site = _site(server.Page)
    # Dify asks for pages of the site's map unless it is told otherwise.
    made = server.Jina(site, sitemap=(HOME, f"{HOME}bees"))
    url = stack.enter_context(server.jina_server(made)).url
    more = {"crawl_url": f"{url}/crawl", "crawl_status_url": f"{url}/status"}
    config = {"api_key": server.KEY, "base_url": url, **more}
    return Service(provider="jinareader", auth_type="bearer", config=config, site=site, page=server.Page)


@pytest.fixture(params=[_firecrawl, _watercrawl, _jina], ids=["firecrawl", "watercrawl", "jinareader"])
def service(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """Each of the services; between two questions about a crawl there is no pause."""
    for provider in (FirecrawlSources, WaterCrawlSources, JinaSources):
        monkeypatch.setattr(provider, "pause", 0.0)
    with ExitStack() as stack:
        yield request.param(stack)
