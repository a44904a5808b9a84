"""Following a crawl that a service does: pages once, progress, the limit, and it is stopped when nobody waits."""

import asyncio

import pytest
from dify_kernel.contracts.datasource import WebPage
from dify_kernel.contracts.datasource_crawl import CrawlNews, Paths, ServiceCrawl, follow_crawl, no_text, page_address
from dify_kernel.errors import DatasourceError, DatasourceUnavailable

AWAY = DatasourceUnavailable("The service is away.")


def pages(*names, text="text"):
    return [WebPage(source_url=f"https://a.test/{name}", content=text) for name in names]


class Scripted(ServiceCrawl):
    """Says what it was given, one piece a question; an error is raised."""

    def __init__(self, *said, stopping=None):
        self.said, self.stopping, self.calls = list(said), stopping, []

    async def start(self):
        self.calls.append("start")

    async def news(self):
        self.calls.append("news")
        said = self.said.pop(0) if self.said else CrawlNews()
        if isinstance(said, Exception):
            raise said
        return said

    async def stop(self):
        self.calls.append("stop")
        if isinstance(self.stopping, Exception):
            raise self.stopping
        if self.stopping is not None:
            await self.stopping.wait()

    async def nothing(self):
        return no_text("https://a.test/")


async def followed(crawl, limit=10, **more):
    return [message async for message in follow_crawl(crawl, limit=limit, pause=0, **more)]


def shown(messages):
    return [(item.completed, item.total, [page.source_url[-1] for page in item.pages]) for item in messages]


async def test_each_page_comes_once_with_the_progress():
    crawl = Scripted(
        CrawlNews(total=1),
        CrawlNews(pages=pages("a"), total=4, more=True),
        CrawlNews(pages=pages("a", "b", "b"), total=4),
        CrawlNews(pages=pages("b"), total=4),
        CrawlNews(pages=pages("c"), total=5, ended=True),
    )
    assert shown(await followed(crawl)) == [(0, 1, []), (1, 4, ["a"]), (2, 4, ["b"]), (3, 3, ["c"])]
    assert crawl.calls == ["start", *["news"] * 5]


async def test_the_last_message_counts_all_pages_when_fewer_came_than_were_known():
    crawl = Scripted(CrawlNews(pages=pages("a"), total=4), CrawlNews(total=4, ended=True))
    assert shown(await followed(crawl)) == [(1, 4, ["a"]), (1, 1, [])]


async def test_the_limit_ends_a_crawl_at_the_service_too():
    crawl = Scripted(CrawlNews(pages=pages("a", "b", "c"), total=90, more=True))
    assert shown(await followed(crawl, limit=2)) == [(2, 2, ["a", "b"])]
    assert crawl.calls == ["start", "news", "stop"]


async def test_a_page_without_text_is_left_out_and_a_crawl_without_pages_says_why():
    crawl = Scripted(CrawlNews(pages=pages("a", text=" \n"), total=1, ended=True))
    with pytest.raises(DatasourceError, match="no text"):
        await followed(crawl)
    assert crawl.calls == ["start", "news"]


async def test_a_service_that_is_away_for_a_moment_costs_no_crawl():
    crawl = Scripted(AWAY, AWAY, AWAY, AWAY, CrawlNews(pages=pages("a"), total=1, ended=True))
    assert shown(await followed(crawl)) == [(1, 1, ["a"])]
    crawl = Scripted(*[AWAY] * 5)
    with pytest.raises(DatasourceUnavailable, match="away"):
        await followed(crawl)
    assert crawl.calls == ["start", *["news"] * 5, "stop"]


async def test_a_service_that_says_nothing_new_is_given_up():
    crawl = Scripted(CrawlNews(pages=pages("a"), total=2))
    with pytest.raises(DatasourceUnavailable, match="nothing new"):
        await followed(crawl, patience=0.01)
    assert crawl.calls[-1] == "stop"


@pytest.mark.parametrize("stopping", [None, AWAY, DatasourceError("It has ended.")])
async def test_a_crawl_that_is_left_is_stopped_whatever_the_service_says_to_it(stopping):
    crawl = Scripted(CrawlNews(pages=pages("a"), total=2), stopping=stopping)
    messages = follow_crawl(crawl, limit=10, pause=60)
    async for _ in messages:
        break
    await messages.aclose()
    assert crawl.calls == ["start", "news", "stop"]


async def test_a_cancelled_crawl_is_stopped_and_does_not_wait_for_a_service_without_an_answer(monkeypatch):
    monkeypatch.setattr("dify_kernel.contracts.datasource_crawl._TIME_TO_STOP", 0.01)
    crawl = Scripted(stopping=asyncio.Event())
    task = asyncio.ensure_future(followed(crawl))
    while "news" not in crawl.calls:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert crawl.calls[-1] == "stop"


def test_patterns_of_paths():
    paths = Paths("blog/*, about,, ", "/blog/private*")
    wanted = ["https://a/blog/x", "https://a/blog/x/y/", "https://a/about"]
    others = ["https://a/", "https://a/blog/private/x", "https://a/abouts"]
    assert [url for url in wanted + others if paths.wants(url)] == wanted
    assert (paths.include, paths.exclude) == (["blog/*", "about"], ["blog/private*"])


@pytest.mark.parametrize(
    ("entered", "address"),
    [(" a.test ", "https://a.test"), ("http://a.test/ä?b#c", "http://a.test/ä?b#c"), ("https://[::1]:8/", None)],
)
def test_an_address_says_how_to_get_there(entered, address):
    assert page_address(entered) == (address or entered)


@pytest.mark.parametrize(
    "entered", ["", "ftp://a.test/", "file:///etc/passwd", "https:///x", "http://[", "http://a b/"]
)
def test_what_is_no_address_is_refused(entered):
    with pytest.raises(DatasourceError, match="not the address"):
        page_address(entered)
