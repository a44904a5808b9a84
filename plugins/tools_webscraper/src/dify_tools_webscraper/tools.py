"""The tool that reads web pages; its name and parameters are those of Dify's built-in `webscraper`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from dify_kernel.contracts.http import HttpConnectionError, HttpRequest, HttpResponse, HttpTooLarge, Timeout
from dify_kernel.contracts.tool import TextMessage, ToolInfo, ToolMessage, ToolParameter, ToolProvider
from dify_kernel.errors import OutboundRefused, ToolError

from dify_tools_webscraper.page import read_page

__all__ = ["WebscraperTools"]

_AGENT: Final = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"
_TIMEOUT: Final = Timeout(connect=10, read=30, total=60)
_MOST_BYTES: Final = 5 * 1024 * 1024
_PAGES: Final = ("text/html", "application/xhtml+xml", "")

_URL = ToolParameter(name="url", required=True, label="URL", description="The address of the page.")
_USER_AGENT = ToolParameter(
    name="user_agent", form="form", default=_AGENT, label="User agent", description="The browser that it says it is."
)


class NoCredentials(msgspec.Struct, frozen=True):
    """Nothing to fill in."""


class WebscraperTools(ToolProvider):
    """Reads one page through the host's guarded client."""

    name = "webscraper"
    label = "Web Scraper"
    Credentials = NoCredentials

    def tools(self) -> Sequence[ToolInfo]:
        """The one tool."""
        return (
            ToolInfo(
                name="webscraper",
                label="Web Scraper",
                description="Reads a web page: its title, author and main text.",
                parameters=[_URL, _USER_AGENT],
            ),
        )

    async def invoke(self, tool: str, parameters: Mapping[str, Any], credentials: Any) -> AsyncIterator[ToolMessage]:
        """The page as one text; ToolError says what the server answered, or what it gave instead of a page."""
        if tool != "webscraper":
            raise ToolError(f"There is no tool {tool!r}.", hint="There is webscraper.", tool=tool)
        url = parameters.get("url")
        if not isinstance(url, str) or not url.strip():
            raise ToolError("`url` is missing.", hint="Give the address of a page.", field="url")
        response = await self._fetch(url.strip(), str(parameters.get("user_agent") or _AGENT))
        kind = (response.header("content-type") or "").partition(";")[0].strip().lower()
        if kind in _PAGES:
            # A page of megabytes takes seconds, in which the loop would serve nobody.
            yield TextMessage(await asyncio.to_thread(read_page, response.text, response.url or url))
        elif kind.startswith("text/") or kind.endswith(("json", "xml")):
            yield TextMessage(response.text)
        else:
            raise ToolError(
                f"{url} is a file of the type {kind}, no page.",
                hint="Fetch it with an HTTP request and read it with a document extractor.",
                field="url",
            )

    async def _fetch(self, url: str, agent: str) -> HttpResponse:
        request = HttpRequest(
            method="GET",
            url=url,
            headers=[("User-Agent", agent), ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")],
            timeout=_TIMEOUT,
            follow_redirects=True,
            max_bytes=_MOST_BYTES,
        )
        try:
            response = await self.http.send(request)
        except (HttpConnectionError, HttpTooLarge, OutboundRefused) as exc:
            raise ToolError(f"{url} cannot be read: {exc.message}", hint=exc.hint, field="url") from exc
        if response.status >= 400:
            raise ToolError(f"{url} answered with status {response.status}.", hint="Check the address.", field="url")
        return response
