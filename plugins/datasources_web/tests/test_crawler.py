"""The crawler over a real site: redirects, robots, maps, loops, and pages that lie."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import pytest
from dify_datasources_web.crawler import Crawler
from dify_datasources_web.provider import NoCredentials
from dify_kernel.contracts.datasource import CrawlParameters, WebPage
from dify_kernel.errors import DatasourceError, DatasourceUnavailable
from dify_kernel.testing.loopback import Answer, Asked, Loopback, loopback
from dify_kernel.testing.plain_http import PlainHttpClient

HTML = {"Content-Type": "text/html"}


def site_of(answers: Mapping[str, Answer]) -> AbstractContextManager[Loopback]:
    """A website on loopback: pages by path; any other is 404."""

    def answer(asked: Asked) -> Answer:
        return (404, {}, b"no") if asked.query else answers.get(asked.path, (404, {}, b"no"))

    return loopback(answer)


def html(text: str) -> Answer:
    return 200, HTML, f"<body><main>{text}</main></body>".encode()


@pytest.fixture
async def crawler() -> AsyncIterator[Crawler]:
    async with PlainHttpClient() as http:
        yield Crawler(http)


async def crawled(crawler: Crawler, url: str, **wish: Any) -> list[WebPage]:
    wanted = CrawlParameters(url=url, **wish)
    return [page async for message in crawler.crawl(wanted, NoCredentials()) for page in message.pages]


async def test_a_page_that_moved_is_named_by_where_it_is_and_comes_once(crawler: Crawler) -> None:
    answers = {
        "/": html('Home <a href="/old">a</a> <a href="/new">b</a>'),
        "/old": (301, {"Location": "/new"}, b""),
        "/new": html("New"),
    }
    with site_of(answers) as site:
        pages = await crawled(crawler, f"{site.url}/")
        assert [page.source_url for page in pages] == [f"{site.url}/", f"{site.url}/new"]


async def test_another_host_is_not_followed_even_behind_a_redirect(crawler: Crawler) -> None:
    with site_of({"/": html("Elsewhere")}) as other:
        answers = {
            "/": html(f'Home <a href="{other.url}/">a</a> <a href="/away">b</a>'),
            "/away": (302, {"Location": f"{other.url}/"}, b""),
        }
        with site_of(answers) as site:
            assert [page.content[:4] for page in await crawled(crawler, site.url)] == ["Home"]


async def test_a_first_page_that_moved_to_another_host_makes_that_the_site(crawler: Crawler) -> None:
    answers: dict[str, Answer] = {}
    there = {"/home": html('Moved <a href="/more">x</a>'), "/more": html("More")}
    with site_of(there) as other, site_of(answers) as site:
        answers["/"] = (302, {"Location": f"{other.url}/home"}, b"")
        pages = await crawled(crawler, site.url)
        assert [page.source_url for page in pages] == [f"{other.url}/home", f"{other.url}/more"]


async def test_what_robots_txt_forbids_is_not_asked_for(crawler: Crawler) -> None:
    rules = b"User-agent: DifyCrawler\nDisallow: /*.html$\nAllow: /open\n\nUser-agent: *\nDisallow: /\n"
    home = html('Home <a href="/a.html">a</a> <a href="/open">b</a>')
    answers = {"/robots.txt": (200, {}, rules), "/": home, "/a.html": html("A"), "/open": html("Open")}
    with site_of(answers) as site:
        assert len(await crawled(crawler, site.url)) == 2
        assert [asked.path for asked in site.asked] == ["/robots.txt", "/", "/open"]
        assert {asked.headers["user-agent"] for asked in site.asked} == {"DifyCrawler"}
        with pytest.raises(DatasourceError, match=r"robots\.txt"):
            await crawler.read(f"{site.url}/a.html", NoCredentials())


async def test_a_site_whose_rules_cannot_be_had_is_not_read(crawler: Crawler) -> None:
    with site_of({"/robots.txt": (500, {}, b""), "/": html("Home")}) as site:
        with pytest.raises(DatasourceUnavailable, match=r"robots\.txt"):
            await crawled(crawler, site.url)
        assert [asked.path for asked in site.asked] == ["/robots.txt"]


async def test_maps_lead_to_pages_that_no_link_leads_to(crawler: Crawler) -> None:
    answers: dict[str, Answer] = {"/": html("Home"), "/hidden": html("Hidden")}
    with site_of(answers) as site:
        head = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
        space = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
        index = f"<sitemapindex {space}><sitemap><loc>{site.url}/maps/1.xml</loc></sitemap></sitemapindex>"
        urls = (
            f"<url><loc>{site.url}/hidden</loc></url><url><loc>https://other.test/</loc></url><url><loc>&e;</loc></url>"
        )
        answers["/robots.txt"] = (200, {}, f"Sitemap: {site.url}/index.xml\n".encode())
        answers["/index.xml"] = (200, {}, index.encode())
        answers["/maps/1.xml"] = (200, {}, f"{head}<urlset {space}>{urls}</urlset>".encode())
        assert len(await crawled(crawler, site.url)) == 1
        assert [page.content for page in await crawled(crawler, site.url, use_sitemap=True)] == ["Home", "Hidden"]


async def test_a_site_without_an_end_ends_at_the_limit(crawler: Crawler) -> None:
    answers = {
        f"/{n}": html(f'Page {n} <a href="/{n + 1}">next</a> <a href="/{n}?again={n}">self</a>') for n in range(60)
    }
    with site_of({**answers, "/": html('Begin <a href="/0">x</a>')}) as site:
        assert len(await crawled(crawler, site.url, limit=7, max_depth=100)) == 7
        assert len(site.asked) <= 12


async def test_noindex_and_nofollow_are_obeyed(crawler: Crawler) -> None:
    def told(word: str, text: str) -> Answer:
        return 200, HTML, f'<head><meta name="robots" content="{word}"></head><body>{text}</body>'.encode()

    answers = {
        "/": told("noindex", '<p>List <a href="/a">a</a> <a rel="nofollow" href="/b">b</a></p>'),
        "/a": told("nofollow", 'A <a href="/c">c</a>'),
        "/b": html("B"),
        "/c": html("C"),
    }
    with site_of(answers) as site:
        assert [page.source_url for page in await crawled(crawler, site.url)] == [f"{site.url}/a"]
