"""What the suite does not ask: the requests themselves, errors of the service, and parts of a crawl."""

from __future__ import annotations

from typing import Any

import pytest
from dify_datasources_jina.provider import JinaSources
from dify_datasources_jina.reader import JinaReader, page_of
from dify_datasources_jina.settings import JinaCredentials
from dify_kernel.contracts.datasource import CrawlParameters, CrawlProgress, WebPage
from dify_kernel.errors import (
    CredentialsValidateFailedError,
    DatasourceError,
    DatasourceItemNotFound,
    DatasourceUnauthorized,
    DatasourceUnavailable,
    OutboundRefused,
)
from dify_kernel.testing.fakes import FakeHttp

from .conftest import credentials_of
from .jina_server import HOME, KEY, Jina, Page

BUSY = (429, {"data": None, "code": 429, "name": "RateLimitTriggeredError", "message": "Per IP rate limit exceeded"})


@pytest.fixture
def source(provider: JinaSources) -> JinaReader:
    (found,) = provider.datasources()
    assert isinstance(found, JinaReader)
    return found


async def crawled(source: JinaReader, credentials: Any, **more: Any) -> list[CrawlProgress]:
    wish = CrawlParameters(url=HOME, **more)
    return [message async for message in source.crawl(wish, credentials)]


def pages(messages: list[CrawlProgress]) -> list[WebPage]:
    return [page for message in messages for page in message.pages]


async def test_a_crawl_is_asked_for_by_the_documented_requests(
    source: JinaReader, jina: Jina, credentials: JinaCredentials
) -> None:
    await crawled(source, credentials, limit=3, use_sitemap=True)
    (path, headers, body), *polls = jina.asked
    assert (path, body) == ("/crawl", {"url": HOME, "maxPages": 3, "useSitemap": True})
    assert headers["authorization"] == f"Bearer {KEY}"
    (task,) = jina.tasks
    assert [(path, body) for path, _, body in polls] == [
        ("/status", {"taskId": task}),
        ("/status", {"taskId": task}),
        ("/status", {"taskId": task, "urls": [f"{HOME}hidden", HOME, f"{HOME}bees"]}),
    ]


async def test_pages_come_while_the_crawl_goes_on(source: JinaReader, jina: Jina, credentials: JinaCredentials) -> None:
    found = await crawled(source, credentials)
    # Seven addresses, three more a question; `gone`, `blank` and `down` are no pages.
    assert [(message.completed, message.total) for message in found] == [(0, 7), (3, 7), (4, 4)]
    bees = next(page for page in pages(found) if page.source_url == f"{HOME}bees")
    assert (bees.title, bees.description, bees.content) == ("Bees dance", "About Bees dance", "Bees dance")


async def test_a_large_crawl_is_fetched_in_parts_and_has_a_hundred_pages_at_most(
    source: JinaReader, jina: Jina, credentials: JinaCredentials
) -> None:
    jina.pace = 60
    links = [f"{HOME}{number}" for number in range(150)]
    jina.site = {HOME: Page("Welcome", *links), **{url: Page(url) for url in links}}
    assert len(pages(await crawled(source, credentials, limit=1000))) == 100
    assert jina.asked[0][2]["maxPages"] == 100
    assert max(len(body.get("urls", ())) for _, _, body in jina.asked) == 10


async def test_a_busy_service_is_asked_again(source: JinaReader, jina: Jina, credentials: JinaCredentials) -> None:
    messages = source.crawl(CrawlParameters(url=HOME), credentials)
    first = await anext(messages)
    jina.faults += [BUSY, (502, b"<html>Bad gateway</html>"), BUSY]
    assert len(pages([first, *[message async for message in messages]])) == 4
    jina.faults.append(BUSY)
    with pytest.raises(DatasourceUnavailable, match="status 429: Per IP rate limit"):
        await crawled(source, credentials)


async def test_a_crawl_that_the_service_ends_fails(
    source: JinaReader, jina: Jina, credentials: JinaCredentials
) -> None:
    jina.fails = True
    with pytest.raises(DatasourceError, match="failed: Out of tokens") as caught:
        await crawled(source, credentials)
    assert not caught.value.retryable


@pytest.mark.parametrize(("main", "asked"), [(True, None), (False, "markdown")])
async def test_one_page_is_read_as_it_is_now(
    source: JinaReader, jina: Jina, credentials: JinaCredentials, main: bool, asked: str | None
) -> None:
    alone = {"crawl_sub_pages": False, "only_main_content": main}
    page = await source.read(HOME, credentials, only_main_content=main)
    assert pages(await crawled(source, credentials, **alone)) == [page]
    assert page.content == ("Welcome" if main else "Menu\n\nWelcome")
    for path, headers, body in jina.asked:
        assert (path, body) == ("/", {"url": HOME})
        assert (headers["x-no-cache"], headers.get("x-respond-with")) == ("true", asked)


async def test_refusals_are_told_without_the_key(
    source: JinaReader, jina: Jina, credentials: JinaCredentials, wrong_credentials: JinaCredentials
) -> None:
    with pytest.raises(DatasourceUnauthorized, match=r"Invalid API key Bearer \*\*\*"):
        await source.read(HOME, wrong_credentials)
    jina.faults.append((402, {"data": None, "code": 402, "message": f"{KEY} has no balance"}))
    with pytest.raises(DatasourceError, match=r"status 402: \*\*\* has no balance"):
        await source.read(HOME, credentials)
    for answer in ([], {"code": 200, "data": "x"}, b"Title: a", {"code": 200, "data": {}}):
        jina.faults.append((200, answer))
        with pytest.raises(DatasourceUnavailable):
            await crawled(source, credentials)


async def test_an_address_that_is_no_reader_is_no_page_that_is_gone(
    source: JinaReader, provider: JinaSources, jina: Jina, credentials: JinaCredentials
) -> None:
    jina.url += "/more"
    elsewhere = credentials_of(jina, KEY)
    with pytest.raises(CredentialsValidateFailedError, match="addresses among the credentials"):
        await provider.check(elsewhere)
    for ask in (source.read(HOME, elsewhere), crawled(source, elsewhere)):
        with pytest.raises(DatasourceError, match="addresses among the credentials") as caught:
            await ask
        assert not isinstance(caught.value, DatasourceItemNotFound)


async def test_a_service_that_is_down_is_no_refusal(
    provider: JinaSources, jina: Jina, credentials: JinaCredentials
) -> None:
    jina.faults.append((503, b""))
    with pytest.raises(DatasourceUnavailable):
        await provider.check(credentials)
    await provider.check(credentials)


async def test_the_guard_of_the_host_decides_which_servers_are_asked(credentials: JinaCredentials) -> None:
    provider = JinaSources(FakeHttp({"/": OutboundRefused("127.0.0.1 is not public.")}))
    with pytest.raises(CredentialsValidateFailedError, match="not public"):
        await provider.check(credentials)


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
