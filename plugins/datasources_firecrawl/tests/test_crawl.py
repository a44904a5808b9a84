"""What the suite does not ask: the requests themselves, errors of the service, and crawls that end early."""

from __future__ import annotations

from typing import Any

import pytest
from dify_datasources_firecrawl.bodies import crawl_body, following, page_of
from dify_datasources_firecrawl.crawl import Firecrawl as Source
from dify_datasources_firecrawl.provider import FirecrawlSources
from dify_datasources_firecrawl.settings import FirecrawlCredentials
from dify_kernel.contracts.datasource import CrawlParameters, WebPage
from dify_kernel.errors import (
    DatasourceError,
    DatasourceUnauthorized,
    DatasourceUnavailable,
)
from dify_kernel.testing.datasource import crawled, pages_of
from dify_kernel.testing.loopback import Loopback, json_answer

from .firecrawl_server import HOME, KEY, Firecrawl


@pytest.fixture
def source(provider: FirecrawlSources) -> Source:
    (found,) = provider.datasources()
    assert isinstance(found, Source)
    return found


async def test_a_crawl_is_asked_for_by_the_documented_requests(
    source: Source, service: Loopback, credentials: FirecrawlCredentials
) -> None:
    found = await crawled(source, credentials, url=HOME, include_paths="", only_main_content=False, limit=3)
    begun, *polls = service.asked
    assert (begun.method, begun.path) == ("POST", "/v2/crawl")
    assert begun.json() == {
        "url": HOME,
        "limit": 3,
        "sitemap": "skip",
        "maxDiscoveryDepth": 2,
        "includePaths": [],
        "excludePaths": [],
        "scrapeOptions": {"formats": ["markdown"], "onlyMainContent": False, "maxAge": 0},
    }
    assert {(poll.method, poll.path.rpartition("/")[0], poll.body) for poll in polls} == {("GET", "/v2/crawl", b"")}
    assert [page.content for page in pages_of(found)] == ["Menu\n\nWelcome", "Menu\n\nBees dance", "Menu\n\nAnts march"]


async def test_pages_come_while_the_crawl_goes_on(
    source: Source, firecrawl: Firecrawl, credentials: FirecrawlCredentials
) -> None:
    found = await crawled(source, credentials, url=HOME)
    # Seven documents in parts of two: of the second part `gone` is no page, of the third `blank`.
    assert [(message.completed, len(message.pages)) for message in found] == [(0, 0), (2, 2), (3, 1), (4, 1), (5, 1)]
    bees = next(page for page in pages_of(found) if page.source_url == f"{HOME}bees")
    assert (bees.title, bees.description) == ("Bees", "About Bees dance")
    assert not any(crawl["cancelled"] for crawl in firecrawl.crawls.values())


@pytest.mark.parametrize("status", ["failed", "cancelled"])
async def test_a_crawl_that_the_service_ends_fails(
    source: Source, firecrawl: Firecrawl, credentials: FirecrawlCredentials, status: str
) -> None:
    firecrawl.ends_as = status
    with pytest.raises(DatasourceError, match=f"{status}: no reason") as caught:
        await crawled(source, credentials, url=HOME)
    assert not caught.value.retryable


async def test_a_crawl_that_is_left_is_cancelled(
    source: Source, firecrawl: Firecrawl, credentials: FirecrawlCredentials
) -> None:
    messages = source.crawl(CrawlParameters(url=HOME), credentials)
    await anext(messages)
    await messages.aclose()  # type: ignore[attr-defined]
    assert firecrawl.server.asked[-1].method == "DELETE"
    assert [crawl["cancelled"] for crawl in firecrawl.crawls.values()] == [True]


async def test_robots_txt_is_named_when_it_forbids_everything(
    source: Source, firecrawl: Firecrawl, credentials: FirecrawlCredentials
) -> None:
    firecrawl.robots = [HOME]
    with pytest.raises(DatasourceError, match=r"robots\.txt"):
        await crawled(source, credentials, url=HOME, include_paths="nothing/*")


async def test_one_page_is_read_as_it_is_now(
    source: Source, service: Loopback, credentials: FirecrawlCredentials
) -> None:
    page = await source.read(f"{HOME}bees", credentials, only_main_content=False)
    assert (page.source_url, page.content) == (f"{HOME}bees", "Menu\n\nBees dance")
    options = {"formats": ["markdown"], "onlyMainContent": False, "maxAge": 0}
    (asked,) = service.asked
    assert (asked.method, asked.path, asked.json()) == ("POST", "/v2/scrape", {"url": f"{HOME}bees", **options})
    for path, error in (("busy", DatasourceUnavailable), ("down", DatasourceUnavailable), ("blank", DatasourceError)):
        with pytest.raises(error):
            await source.read(HOME + path, credentials)


async def test_refusals_are_told_without_the_key(
    source: Source, service: Loopback, credentials: FirecrawlCredentials, wrong_credentials: FirecrawlCredentials
) -> None:
    with pytest.raises(DatasourceUnauthorized, match=r"Invalid token Bearer \*\*\*"):
        await source.read(HOME, wrong_credentials)
    service.queued.append(json_answer(402, {"success": False, "error": f"Insufficient credits of {KEY}"}))
    with pytest.raises(DatasourceError, match=r"status 402: Insufficient credits of \*\*\*"):
        await source.read(HOME, credentials)
    service.queued.append(json_answer(200, {"success": False, "error": f"Blocked for {KEY}."}))
    with pytest.raises(DatasourceError, match=r"refused: Blocked for \*\*\*\."):
        await source.read(HOME, credentials)


async def test_a_check_costs_no_credit(
    provider: FirecrawlSources, service: Loopback, credentials: FirecrawlCredentials
) -> None:
    await provider.check(credentials)
    assert [(asked.method, asked.path) for asked in service.asked] == [("GET", "/v2/crawl/active")]


@pytest.mark.parametrize(
    ("pattern", "expression"),
    [
        ("blog/*", "^/blog/.*/?$"),
        ("/about/", "^/about/?$"),
        ("a.b+(c)|[d]{2}^$\\", "^/a\\.b\\+\\(c\\)\\|\\[d\\]\\{2\\}\\^\\$\\\\/?$"),
        ("v?/ü*", "^/v./ü.*/?$"),
    ],
)
def test_patterns_become_expressions_of_the_whole_path(pattern: str, expression: str) -> None:
    body = crawl_body(HOME, CrawlParameters(url=HOME, include_paths=pattern, exclude_paths=f"{pattern}, x"))
    assert body["includePaths"] == [expression]
    assert body["excludePaths"] == [expression, "^/x/?$"]


@pytest.mark.parametrize("alone", [{"crawl_sub_pages": False}, {"max_depth": 0}])
def test_the_first_page_alone_is_a_crawl_of_one(alone: dict[str, Any]) -> None:
    body = crawl_body(HOME, CrawlParameters(url=HOME, limit=50, use_sitemap=True, include_paths="blog/*", **alone))
    options = {"formats": ["markdown"], "onlyMainContent": True, "maxAge": 0}
    assert body == {"url": HOME, "limit": 1, "sitemap": "skip", "scrapeOptions": options}


@pytest.mark.parametrize(
    ("address", "skip"),
    [
        ("https://b.test/v2/crawl/x?skip=7&limit=2", 7),
        ("https://b.test/v2/crawl/x", None),
        ("?skip=x", None),
        (None, None),
        (7, None),
    ],
)
def test_where_the_next_part_begins(address: Any, skip: int | None) -> None:
    assert following(address) == skip


@pytest.mark.parametrize(
    ("document", "page"),
    [
        ({"markdown": "a\0b"}, WebPage(source_url=HOME, content="ab")),
        (
            {"markdown": " a ", "metadata": {"url": f"{HOME}x", "title": None, "description": [1, "d"]}},
            WebPage(source_url=f"{HOME}x", content="a", description="d"),
        ),
        ({"markdown": "a", "metadata": []}, WebPage(source_url=HOME, content="a")),
    ],
)
def test_documents_that_say_little_are_pages_too(document: dict[str, Any], page: WebPage) -> None:
    assert page_of(document, HOME) == page
