"""What the suite does not ask: the requests themselves, errors of the service, and crawls that end early."""

from __future__ import annotations

from typing import Any

import pytest
from dify_datasources_watercrawl.bodies import crawl_body, page_of
from dify_datasources_watercrawl.crawl import WaterCrawl as Source
from dify_datasources_watercrawl.provider import WaterCrawlSources
from dify_datasources_watercrawl.settings import WaterCrawlCredentials
from dify_kernel.contracts.datasource import CrawlParameters, WebPage
from dify_kernel.errors import (
    DatasourceError,
    DatasourceItemNotFound,
    DatasourceUnauthorized,
    DatasourceUnavailable,
)
from dify_kernel.testing.datasource import crawled, pages_of
from dify_kernel.testing.loopback import Loopback, json_answer

from .watercrawl_server import HOME, KEY, PREFIX, Page, WaterCrawl


@pytest.fixture
def source(provider: WaterCrawlSources) -> Source:
    (found,) = provider.datasources()
    assert isinstance(found, Source)
    return found


async def test_a_crawl_is_asked_for_by_the_documented_requests(
    source: Source, watercrawl: WaterCrawl, service: Loopback, credentials: WaterCrawlCredentials
) -> None:
    found = await crawled(source, credentials, url=HOME, only_main_content=False, limit=3)
    begun, *polls = service.asked
    assert (begun.method, begun.path) == ("POST", PREFIX)
    assert begun.json() == {
        "url": HOME,
        "options": {
            "spider_options": {
                "max_depth": 2,
                "page_limit": 3,
                "allowed_domains": [],
                "include_paths": [],
                "exclude_paths": [],
            },
            "page_options": {
                "wait_time": 1000,
                "timeout": 15000,
                "only_main_content": False,
                "include_html": False,
                "include_links": False,
            },
            "plugin_options": {},
        },
    }
    (crawl,) = watercrawl.crawls
    assert {(poll.method, poll.path) for poll in polls} == {
        ("GET", f"{PREFIX}{crawl}/"),
        ("GET", f"{PREFIX}{crawl}/results/"),
    }
    assert [page.content for page in pages_of(found)] == ["Menu\n\nWelcome", "Menu\n\nBees dance", "Menu\n\nAnts march"]


async def test_pages_come_while_the_crawl_goes_on(
    source: Source, watercrawl: WaterCrawl, credentials: WaterCrawlCredentials
) -> None:
    found = await crawled(source, credentials, url=HOME)
    # Six results, three more a question and two a part: of the second part `blank` is no page.
    assert [(message.completed, message.total) for message in found] == [(2, 3), (3, 6), (5, 5)]
    bees = next(page for page in pages_of(found) if page.source_url == f"{HOME}bees")
    assert (bees.title, bees.description) == ("Bees", "About Bees dance")


async def test_what_is_left_to_fetch_when_a_crawl_has_ended_comes_too(
    source: Source, watercrawl: WaterCrawl, credentials: WaterCrawlCredentials
) -> None:
    links = [f"{HOME}{number}" for number in range(20)]
    watercrawl.site = {HOME: Page("Welcome", *links), **{url: Page(url) for url in links}}
    found = await crawled(source, credentials, url=HOME, limit=50)
    assert {page.source_url for page in pages_of(found)} == {HOME, *links}


@pytest.mark.parametrize("status", ["failed", "canceled"])
async def test_a_crawl_that_the_service_ends_fails(
    source: Source, watercrawl: WaterCrawl, credentials: WaterCrawlCredentials, status: str
) -> None:
    watercrawl.ends_as = status
    with pytest.raises(DatasourceError, match=f"is {status}") as caught:
        await crawled(source, credentials, url=HOME)
    assert not caught.value.retryable


async def test_a_crawl_that_is_left_is_stopped(
    source: Source, watercrawl: WaterCrawl, credentials: WaterCrawlCredentials
) -> None:
    messages = source.crawl(CrawlParameters(url=HOME), credentials)
    await anext(messages)
    await messages.aclose()  # type: ignore[attr-defined]
    assert watercrawl.server.asked[-1].method == "DELETE"
    assert [crawl["status"] for crawl in watercrawl.crawls.values()] == ["canceled"]


async def test_one_page_is_a_crawl_of_one(
    source: Source, service: Loopback, credentials: WaterCrawlCredentials
) -> None:
    page = await source.read(f"{HOME}bees", credentials, only_main_content=False)
    assert (page.source_url, page.content) == (f"{HOME}bees", "Menu\n\nBees dance")
    options = service.asked[0].json()["options"]
    assert (options["spider_options"]["page_limit"], options["page_options"]["only_main_content"]) == (1, False)
    with pytest.raises(DatasourceError, match="no text") as caught:
        await source.read(f"{HOME}blank", credentials)
    assert not isinstance(caught.value, DatasourceItemNotFound)


async def test_an_old_server_that_gives_links_in_place_of_texts_is_named(
    source: Source, watercrawl: WaterCrawl, credentials: WaterCrawlCredentials
) -> None:
    watercrawl.by_link = True
    with pytest.raises(DatasourceError, match=r"without its text\. Update the server"):
        await crawled(source, credentials, url=HOME)


async def test_refusals_are_told_without_the_key(
    source: Source, service: Loopback, credentials: WaterCrawlCredentials, wrong_credentials: WaterCrawlCredentials
) -> None:
    with pytest.raises(DatasourceUnauthorized, match=r"Invalid API key \*\*\*"):
        await source.read(HOME, wrong_credentials)
    service.queued.append(json_answer(400, {"detail": f"No more pages for {KEY}"}))
    with pytest.raises(DatasourceError, match=r"status 400: No more pages for \*\*\*"):
        await source.read(HOME, credentials)


async def test_what_answers_with_something_else_is_not_taken_for_the_service(
    provider: WaterCrawlSources, service: Loopback, credentials: WaterCrawlCredentials
) -> None:
    service.queued.append(json_answer(200, {"hello": "world"}))
    with pytest.raises(DatasourceUnavailable):
        await provider.check(credentials)
    await provider.check(credentials)


@pytest.mark.parametrize(
    ("patterns", "globs"),
    [("blog/*, about", ["/blog/*", "/about", "/about/"]), ("/ü?/", ["/ü?", "/ü?/"]), (" , ", [])],
)
def test_patterns_are_compared_with_the_whole_path(patterns: str, globs: list[str]) -> None:
    wish = CrawlParameters(url=HOME, include_paths=patterns, exclude_paths=patterns)
    spider = crawl_body(HOME, wish)["options"]["spider_options"]
    assert spider["include_paths"] == spider["exclude_paths"] == globs


@pytest.mark.parametrize("alone", [{"crawl_sub_pages": False}, {"max_depth": 0}])
def test_the_first_page_alone_is_a_crawl_of_one(alone: dict[str, Any]) -> None:
    body = crawl_body(HOME, CrawlParameters(url=HOME, limit=50, include_paths="blog/*", **alone))
    spider = body["options"]["spider_options"]
    assert (spider["page_limit"], spider["max_depth"], spider["include_paths"]) == (1, 1, [])


@pytest.mark.parametrize(
    ("result", "page"),
    [
        ({"markdown": "a\0b"}, WebPage(source_url=HOME, content="ab")),
        ({"markdown": " a ", "metadata": {"title": None}}, WebPage(source_url=HOME, content="a")),
        ({"markdown": "a", "metadata": []}, WebPage(source_url=HOME, content="a")),
    ],
)
def test_results_that_say_little_are_pages_too(result: dict[str, Any], page: WebPage) -> None:
    assert page_of({"url": HOME, "result": result}) == page
