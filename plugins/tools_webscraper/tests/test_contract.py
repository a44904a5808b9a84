"""The web scraper keeps the tool contract, and finds the text of pages."""

from __future__ import annotations

from typing import Any

import pytest
from dify_kernel.contracts.http import HttpConnectionError, HttpResponse, HttpTooLarge
from dify_kernel.contracts.tool import TextMessage
from dify_kernel.errors import OutboundRefused
from dify_kernel.testing.fakes import FakeHttp
from dify_kernel.testing.tool import ToolExample, ToolProviderSuite
from dify_tools_webscraper.tools import NoCredentials, WebscraperTools

SENTENCE = "Bees dance, and by dancing they tell each other where the flowers are."
PAGE = f"""<!doctype html><html><head><title>Über Bienen</title><meta name="author" content="Ann  Lee">
<style>p {{color: red}}</style><script>alert("no")</script></head><body>
<nav><ul><li><a href="/a">Home</a></li><li><a href="/b">Shop</a></li></ul></nav>
<article><h1>Über Bienen</h1><p>{SENTENCE} {SENTENCE}</p><p>{SENTENCE}<br>End &amp; out.</p><!-- hidden -->
<ul><li>One</li><li>Two</li></ul></article><footer>© nobody</footer></body></html>"""
TEXT = f"{SENTENCE} {SENTENCE}\n\n{SENTENCE}\nEnd & out."


def page(content: str = PAGE, kind: str = "text/html; charset=utf-8", status: int = 200) -> HttpResponse:
    return HttpResponse(status=status, headers=[("Content-Type", kind)], content=content.encode())


ANSWERS: dict[str, Any] = {
    "/page": page(),
    "/data": page('{"a": 1}', "application/json"),
    "/empty": page("<html><body><script>fill()</script></body></html>"),
    "/nothing": page(""),
    "/file": page("%PDF", "application/pdf"),
    "/gone": page("no", status=404),
    "/private": OutboundRefused("a.test does not lead to a public address."),
    "/down": HttpConnectionError("The connection was refused."),
    "/large": HttpTooLarge("The answer is larger than 5 MB."),
}


def url(path: str) -> dict[str, str]:
    return {"url": f"https://a.test/{path}"}


class TestContract(ToolProviderSuite):
    examples = [
        ToolExample(tool="webscraper", parameters=url("page")),
        ToolExample(tool="webscraper", parameters=url("data"), messages=[TextMessage('{"a": 1}')]),
        ToolExample(tool="webscraper", parameters=url("empty"), error="no text to read"),
        ToolExample(tool="webscraper", parameters=url("nothing"), error="no text to read"),
        ToolExample(tool="webscraper", parameters=url("file"), error="application/pdf"),
        ToolExample(tool="webscraper", parameters=url("gone"), error="status 404"),
        ToolExample(tool="webscraper", parameters=url("private"), error="public address"),
        ToolExample(tool="webscraper", parameters=url("down"), error="refused"),
        ToolExample(tool="webscraper", parameters=url("large"), error="larger than 5 MB"),
        ToolExample(tool="webscraper", parameters={"url": " "}, error="`url` is missing"),
    ]

    @pytest.fixture
    def tools(self) -> WebscraperTools:
        return WebscraperTools(FakeHttp(ANSWERS))

    @pytest.fixture
    def credentials(self) -> NoCredentials:
        return NoCredentials()


async def test_a_page_is_its_title_author_and_main_text() -> None:
    http = FakeHttp(ANSWERS)
    given = {**url("page"), "user_agent": "me"}
    (message,) = [item async for item in WebscraperTools(http).invoke("webscraper", given, NoCredentials())]
    assert isinstance(message, TextMessage)
    head, text = message.text.split("TEXT:\n\n")
    assert head == "TITLE: Über Bienen\nAUTHOR: Ann Lee\n"
    assert TEXT in text
    for absent in ("Shop", "alert", "hidden", "color"):
        assert absent not in text
    (request,) = http.requests
    assert ("User-Agent", "me") in request.headers
    assert request.follow_redirects
