"""A simulator of Firecrawl's documented API, version 2, on loopback: it crawls a site in memory, and refuses the rest.

https://docs.firecrawl.dev/api-reference: crawl (POST, GET, DELETE), crawl errors, active crawls, scrape.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

__all__ = ["HOME", "KEY", "Firecrawl", "Page", "firecrawl_server"]

KEY = "fc-right-0123456789"
HOME = "https://a.test/"
_PART = 2
_CRAWL = {"url", "limit", "sitemap", "maxDiscoveryDepth", "includePaths", "excludePaths", "scrapeOptions"}
_SCRAPE = {"formats", "onlyMainContent", "maxAge"}
Answer = tuple[int, Any]


class Page:
    """A page of the site: what is in it, where it leads, and the status it is answered with; 0 cannot be reached."""

    def __init__(self, text: str, *links: str, status: int = 200, title: Any = None) -> None:
        self.text, self.links, self.status, self.title = text, links, status, title or text


class Firecrawl:
    """The site, and how the server behaves."""

    def __init__(self, site: Mapping[str, Page], sitemap: tuple[str, ...] = ()) -> None:
        self.url = ""
        self.site, self.sitemap = site, sitemap
        self.asked: list[tuple[str, str, Any]] = []
        self.faults: list[Answer] = []
        self.crawls: dict[str, dict[str, Any]] = {}
        self.ends_as = "completed"
        self.robots: list[str] = []

    def answer(self, method: str, path: str, query: Mapping[str, list[str]], body: Any) -> Answer:
        if self.faults:
            return self.faults.pop(0)
        match method, path.strip("/").split("/"):
            case "GET", ["v2", "crawl", "active"]:
                return 200, {"success": True, "crawls": []}
            case "POST", ["v2", "scrape"]:
                return self._scrape(body)
            case "POST", ["v2", "crawl"]:
                return self._start(body)
            case "GET", ["v2", "crawl", found] if found in self.crawls:
                return self._status(found, int(query.get("skip", ["0"])[0]))
            case "GET", ["v2", "crawl", found, "errors"] if found in self.crawls:
                errors = [
                    {"id": "x", "url": url, "error": "The page timed out."} for url in self.crawls[found]["failed"]
                ]
                return 200, {"errors": errors, "robotsBlocked": self.robots}
            case "DELETE", ["v2", "crawl", found] if found in self.crawls:
                self.crawls[found]["cancelled"] = True
                return 200, {"status": "cancelled"}
        return 404, {"success": False, "error": "Job not found"}

    def _scrape(self, body: Any) -> Answer:
        if body.keys() - {"url"} != _SCRAPE or body["formats"] != ["markdown"]:
            return 400, {"success": False, "error": "Bad Request"}
        page = self.site.get(body["url"], Page("Not found", status=404))
        if page.status == 0:
            return 500, {"success": False, "error": "All scraping engines failed."}
        return 200, {"success": True, "data": _document(body["url"], page, body)}

    def _start(self, body: Any) -> Answer:
        options = body.get("scrapeOptions", {})
        if body.keys() - _CRAWL or options.keys() != _SCRAPE or body["sitemap"] not in ("skip", "include"):
            return 400, {"success": False, "error": "Bad Request", "details": [{"code": "unrecognized_keys"}]}
        found = str(uuid4())
        urls = self._found(body)
        failed = [url for url in urls if self._page(url).status == 0]
        documents = [_document(url, self._page(url), options) for url in urls if url not in failed]
        self.crawls[found] = {"documents": documents, "failed": failed, "done": 0, "cancelled": False}
        return 200, {"success": True, "id": found, "url": f"{self.url}/v2/crawl/{found}"}

    def _found(self, body: Mapping[str, Any]) -> list[str]:
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

    def _status(self, found: str, skip: int) -> Answer:
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


class _Server(ThreadingHTTPServer):
    """Takes as many connections at once as a suite makes."""

    request_queue_size = 128


@contextmanager
def firecrawl_server(made: Firecrawl) -> Iterator[Firecrawl]:
    """Serve it on loopback until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = urlsplit(self.path)
            body = json.loads(raw) if raw and self.headers.get("Content-Type") == "application/json" else None
            made.asked.append((self.command, parts.path, body))
            key = self.headers.get("Authorization", "")
            if key != f"Bearer {KEY}":
                status, found = 401, {"success": False, "error": f"Unauthorized: Invalid token {key}"}
            else:
                status, found = made.answer(self.command, parts.path, parse_qs(parts.query), body)
            content = found if isinstance(found, bytes) else json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = _answer

        def log_message(self, *args: object) -> None:
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
