"""What the suite does not ask: the requests themselves, errors of the service, and parts of a crawl."""

from __future__ import annotations

from typing import Any

import pytest
from dify_datasources_jina.provider import JinaSources
from dify_datasources_jina.reader import JinaReader, page_of
from dify_datasources_jina.settings import JinaCredentials
from dify_kernel.contracts.datasource import WebPage
from dify_kernel.errors import (
    DatasourceError,
    DatasourceItemNotFound,
    DatasourceUnauthorized,
    DatasourceUnavailable,
)
from dify_kernel.testing.datasource import crawled, pages_of
from dify_kernel.testing.loopback import Loopback, json_answer

from .jina_server import HOME, KEY, Jina, Page


@pytest.fixture
def source(provider: JinaSources) -> JinaReader:
    (found,) = provider.datasources()
    assert isinstance(found, JinaReader)
    return found


async def test_a_crawl_is_asked_for_by_the_documented_requests(
    source: JinaReader, jina: Jina, credentials: JinaCredentials
) -> None:
    await crawled(source, credentials, url=HOME, limit=3, use_sitemap=True)
    begun, *polls = jina.server.asked
    assert (begun.path, begun.json()) == ("/crawl", {"url": HOME, "maxPages": 3, "useSitemap": True})
    assert begun.headers["authorization"] == f"Bearer {KEY}"
    (task,) = jina.tasks
    assert [(poll.path, poll.json()) for poll in polls] == [
        ("/status", {"taskId": task}),
        ("/status", {"taskId": task}),
        ("/status", {"taskId": task, "urls": [f"{HOME}hidden", HOME, f"{HOME}bees"]}),
    ]


async def test_pages_come_while_the_crawl_goes_on(source: JinaReader, jina: Jina, credentials: JinaCredentials) -> None:
    found = await crawled(source, credentials, url=HOME)
    # Seven addresses, three more a question; `gone`, `blank` and `down` are no pages.
    assert [(message.completed, message.total) for message in found] == [(0, 7), (3, 7), (4, 4)]
    bees = next(page for page in pages_of(found) if page.source_url == f"{HOME}bees")
    assert (bees.title, bees.description, bees.content) == ("Bees dance", "About Bees dance", "Bees dance")


async def test_a_large_crawl_is_fetched_in_parts_and_has_a_hundred_pages_at_most(
    source: JinaReader, jina: Jina, credentials: JinaCredentials
) -> None:
    jina.pace = 60
    links = [f"{HOME}{number}" for number in range(150)]
    jina.site = {HOME: Page("Welcome", *links), **{url: Page(url) for url in links}}
    assert len(pages_of(await crawled(source, credentials, url=HOME, limit=1000))) == 100
    assert jina.server.asked[0].json()["maxPages"] == 100
    assert max(len(asked.json().get("urls", ())) for asked in jina.server.asked) == 10


async def test_a_crawl_that_the_service_ends_fails(
    source: JinaReader, jina: Jina, credentials: JinaCredentials
) -> None:
    jina.fails = True
    with pytest.raises(DatasourceError, match="failed: Out of tokens") as caught:
        await crawled(source, credentials, url=HOME)
    assert not caught.value.retryable


@pytest.mark.parametrize(("main", "asked"), [(True, None), (False, "markdown")])
async def test_one_page_is_read_as_it_is_now(
    source: JinaReader, service: Loopback, credentials: JinaCredentials, main: bool, asked: str | None
) -> None:
    alone = {"crawl_sub_pages": False, "only_main_content": main}
    page = await source.read(HOME, credentials, only_main_content=main)
    assert pages_of(await crawled(source, credentials, url=HOME, **alone)) == [page]
    assert page.content == ("Welcome" if main else "Menu\n\nWelcome")
    for request in service.asked:
        assert (request.path, request.json()) == ("/", {"url": HOME})
        assert (request.headers["x-no-cache"], request.headers.get("x-respond-with")) == ("true", asked)


async def test_refusals_are_told_without_the_key(
    source: JinaReader, service: Loopback, credentials: JinaCredentials, wrong_credentials: JinaCredentials
) -> None:
    with pytest.raises(DatasourceUnauthorized, match=r"Invalid API key Bearer \*\*\*"):
        await source.read(HOME, wrong_credentials)
    service.queued.append(json_answer(402, {"data": None, "code": 402, "message": f"{KEY} has no balance"}))
    with pytest.raises(DatasourceError, match=r"status 402: \*\*\* has no balance"):
        await source.read(HOME, credentials)
    for data in ("x", {}):
        service.queued.append(json_answer(200, {"code": 200, "data": data}))
        with pytest.raises(DatasourceUnavailable):
            await crawled(source, credentials, url=HOME)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ({"content": "Gone", "warning": "Target URL returned error 410: Gone"}, DatasourceItemNotFound),
        (
            {"content": "x", "warning": "This is a cached page.\nTarget URL returned error 403: No"},
            DatasourceUnauthorized,
        ),
        ({"content": " \n"}, DatasourceError),
        ({"content": None}, DatasourceError),
        ({}, DatasourceError),
    ],
)
def test_what_is_no_page_is_an_error(data: dict[str, Any], error: type[DatasourceError]) -> None:
    with pytest.raises(DatasourceError) as caught:
        page_of(data, HOME)
    assert type(caught.value) is error


def test_answers_that_say_little_are_pages_too() -> None:
    data = {"content": " a\0b ", "title": None, "warning": "This page maybe not yet fully loaded."}
    assert page_of(data, HOME) == WebPage(source_url=HOME, content="ab")
