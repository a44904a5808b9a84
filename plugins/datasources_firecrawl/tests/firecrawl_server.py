"""A simulator of Firecrawl's documented API, version 2, on loopback: it crawls a site in memory, and refuses the rest.

https://docs.firecrawl.dev/api-reference: crawl (POST, GET, DELETE), crawl errors, active crawls, scrape.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from dify_kernel.testing.loopback import Answer, Asked, Loopback, json_answer, loopback

__all__ = ["HOME", "KEY", "Firecrawl", "Page", "firecrawl_server"]

KEY = "fc-right-0123456789"
HOME = "https://a.test/"
_PART = 2
_CRAWL = {"url", "limit", "sitemap", "maxDiscoveryDepth", "includePaths", "excludePaths", "scrapeOptions"}
_SCRAPE = {"formats", "onlyMainContent", "maxAge"}
Found = tuple[int, Any]


class Page:
    """A page of the site: what is in it, where it leads, and the status it is answered with; 0 cannot be reached."""

    def __init__(self, text: str, *links: str, status: int = 200, title: Any = None) -> None:
        self.text, self.links, self.status, self.title = text, links, status, title or text


class Firecrawl:
    """The site, and how the server behaves."""

    def __init__(self, site: Mapping[str, Page], sitemap: tuple[str, ...] = ()) -> None:
        self.server: Loopback
        self.site, self.sitemap = site, sitemap
        self.crawls: dict[str, dict[str, Any]] = {}
        self.ends_as = "completed"
        self.robots: list[str] = []

    @property
    def url(self) -> str:
        """Where it is served."""
        return self.server.url

    def answer(self, asked: Asked) -> Answer:
        """Whoever has the key."""
        key = asked.headers.get("authorization", "")
        if key != f"Bearer {KEY}":
            return json_answer(401, {"success": False, "error": f"Unauthorized: Invalid token {key}"})
        return json_answer(*self._found(asked.method, asked.path, dict(asked.query), asked.json()))

    def _found(self, method: str, path: str, query: Mapping[str, str], body: Any) -> Found:
        match method, path.strip("/").split("/"):
            case "GET", ["v2", "crawl", "active"]:
                return 200, {"success": True, "crawls": []}
            case "POST", ["v2", "scrape"]:
                return self._scrape(body)
            case "POST", ["v2", "crawl"]:
                return self._start(body)
            case "GET", ["v2", "crawl", found] if found in self.crawls:
                return self._status(found, int(query.get("skip", "0")))
            case "GET", ["v2", "crawl", found, "errors"] if found in self.crawls:
                errors = [
                    {"id": "x", "url": url, "error": "The page timed out."} for url in self.crawls[found]["failed"]
                ]
                return 200, {"errors": errors, "robotsBlocked": self.robots}
            case "DELETE", ["v2", "crawl", found] if found in self.crawls:
                self.crawls[found]["cancelled"] = True
                return 200, {"status": "cancelled"}
        return 404, {"success": False, "error": "Job not found"}

    def _scrape(self, body: Any) -> Found:
        if body.keys() - {"url"} != _SCRAPE or body["formats"] != ["markdown"]:
            return 400, {"success": False, "error": "Bad Request"}
        page = self.site.get(body["url"], Page("Not found", status=404))
        if page.status == 0:
            return 500, {"success": False, "error": "All scraping engines failed."}
        return 200, {"success": True, "data": _document(body["url"], page, body)}

    def _start(self, body: Any) -> Found:
        options = body.get("scrapeOptions", {})
        if body.keys() - _CRAWL or options.keys() != _SCRAPE or body["sitemap"] not in ("skip", "include"):
            return 400, {"success": False, "error": "Bad Request", "details": [{"code": "unrecognized_keys"}]}
        found = str(uuid4())
        urls = self._reached(body)
        failed = [url for url in urls if self._page(url).status == 0]
        documents = [_document(url, self._page(url), options) for url in urls if url not in failed]
        self.crawls[found] = {"documents": documents, "failed": failed, "done": 0, "cancelled": False}
        return 200, {"success": True, "id": found, "url": f"{self.url}/v2/crawl/{found}"}

    def _reached(self, body: Mapping[str, Any]) -> list[str]:
        """The addresses that a crawl comes to: those below the first, by discovery; that of a map has depth 0."""
        below = urlsplit(body["url"]).path
        waiting = [(body["url"], 0), *((url, 0) for url in self.sitemap if body["sitemap"] == "include")]
        found: list[str] = []
        while waiting and len(found) < body["limit"]:
            url, depth = waiting.pop(0)
            path = urlsplit(url).path
            if url in found or not path.startswith(below) or depth > body.get("maxDiscoveryDepth", 99):
                continue
            includes, excludes = body.get("includePaths") or [""], body.get("excludePaths") or []
            waiting += [(link, depth + 1) for link in self._page(url).links]
            if any(re.search(item, path) for item in includes) and not any(re.search(item, path) for item in excludes):
                found.append(url)
        return found

    def _status(self, found: str, skip: int) -> Found:
        crawl = self.crawls[found]
        documents, done = crawl["documents"], crawl["done"]
        data = documents[skip : min(done, skip + _PART)]
        status = "scraping" if done < len(documents) else self.ends_as
        crawl["done"] = min(done + 3, len(documents))
        body: dict[str, Any] = {"status": status, "total": len(documents), "completed": done, "data": data}
        if len(documents) > skip + len(data):
            # As behind a proxy: the server does not know under which address it is asked.
            body["next"] = f"https://inner.test/v2/crawl/{found}?skip={skip + len(data)}"
        return 200, {"success": True, "creditsUsed": done, "expiresAt": "2026-01-01T00:00:00.000Z", **body}

    def _page(self, url: str) -> Page:
        return self.site.get(url, Page("Not found", status=404))


def _document(url: str, page: Page, options: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {"title": page.title, "description": f"About {page.text}", "sourceURL": url, "statusCode": page.status}
    menu = "" if options["onlyMainContent"] else "Menu\n\n"
    return {"markdown": menu + page.text if page.text else "", "metadata": {**metadata, "url": url}}


@contextmanager
def firecrawl_server(made: Firecrawl) -> Iterator[Firecrawl]:
    """Serve it on loopback until the block ends."""
    with loopback(made.answer) as made.server:
        yield made
