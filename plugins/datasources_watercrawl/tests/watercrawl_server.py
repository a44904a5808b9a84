"""A simulator of WaterCrawl's documented API, version 1, on loopback: it crawls a site in memory, and refuses the rest.

https://docs.watercrawl.dev/api: crawl requests (POST, GET, DELETE), the list of them, and their results in parts.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

__all__ = ["HOME", "KEY", "Page", "WaterCrawl", "watercrawl_server"]

KEY = "wc-right-0123456789"
HOME = "https://a.test/"
PREFIX = "/api/v1/core/crawl-requests/"
_SPIDER = {"max_depth", "page_limit", "allowed_domains", "include_paths", "exclude_paths"}
_PAGE = {"wait_time", "timeout", "only_main_content", "include_html", "include_links"}
Answer = tuple[int, Any]


class Page:
    """A page of the site: what is in it, and where it leads."""

    def __init__(self, text: str, *links: str, **metadata: str) -> None:
        self.text, self.links = text, links
        self.metadata = {"title": text, "description": f"About {text}", **metadata}


class WaterCrawl:
    """The site, and how the server behaves. The largest part of results has two pages."""

    def __init__(self, site: Mapping[str, Page]) -> None:
        self.url = ""
        self.site = site
        self.asked: list[tuple[str, str, Any]] = []
        self.faults: list[Answer] = []
        self.crawls: dict[str, dict[str, Any]] = {}
        self.ends_as = "finished"
        self.by_link = False

    def answer(self, method: str, path: str, query: Mapping[str, list[str]], body: Any) -> Answer:
        if self.faults:
            return self.faults.pop(0)
        if not path.startswith(PREFIX):
            return 404, {"detail": "Not found."}
        match method, path.removeprefix(PREFIX).split("/"):
            case "GET", [""]:
                return 200, {"count": 0, "next": None, "previous": None, "results": []}
            case "POST", [""]:
                return self._start(body)
            case "GET", [found, ""] if found in self.crawls:
                return 200, self._state(found)
            case "GET", [found, "results", ""] if found in self.crawls:
                return self._results(found, query)
            case "DELETE", [found, ""] if found in self.crawls:
                if self.crawls[found]["status"] != "running":
                    return 403, {"detail": "Only running crawl requests can be deleted"}
                self.crawls[found]["status"] = "canceled"
                return 204, None
        return 404, {"detail": "Not found."}

    def _start(self, body: Any) -> Answer:
        options = body.get("options", {})
        spider, page = options.get("spider_options", {}), options.get("page_options", {})
        if body.keys() != {"url", "options"} or spider.keys() != _SPIDER or page.keys() != _PAGE:
            return 400, {"message": "Validation error", "errors": {"options": ["This field is required."]}}
        found = str(uuid4())
        results = [self._result(url, page) for url in self._found(body["url"], spider) if url in self.site]
        self.crawls[found] = {"status": "new", "results": results, "done": 0, "body": body}
        return 201, {"uuid": found, "url": body["url"], "status": "new", "options": options, "number_of_documents": "0"}

    def _found(self, first: str, spider: Mapping[str, Any]) -> list[str]:
        """The addresses that are asked for; a depth of 0 is one without an end."""
        waiting, found = [(first, 0)], list[str]()
        while waiting and len(found) < spider["page_limit"]:
            url, depth = waiting.pop(0)
            if url in found or (spider["max_depth"] and depth > spider["max_depth"]):
                continue
            found.append(url)
            for link in self.site[url].links if url in self.site else ():
                path = urlsplit(link).path
                included = any(fnmatch(path, item) for item in spider["include_paths"] or ["*"])
                if included and not any(fnmatch(path, item) for item in spider["exclude_paths"]):
                    waiting.append((link, depth + 1))
        return found

    def _result(self, url: str, options: Mapping[str, Any]) -> dict[str, Any]:
        page = self.site[url]
        menu = "" if options["only_main_content"] or not page.text else "Menu\n\n"
        content: Any = {"markdown": menu + page.text, "metadata": page.metadata}
        kept = f"https://storage.test/{uuid4()}.json" if self.by_link else content
        return {"uuid": str(uuid4()), "url": url, "result": kept, "attachments": []}

    def _state(self, found: str) -> dict[str, Any]:
        """Three pages more each time that it is asked for."""
        crawl = self.crawls[found]
        if crawl["status"] in ("new", "running"):
            ended = crawl["status"] == "running" and crawl["done"] == len(crawl["results"])
            crawl["done"] = min(crawl["done"] + 3, len(crawl["results"]))
            crawl["status"] = self.ends_as if ended else "running"
        return {"uuid": found, "status": crawl["status"], "number_of_documents": str(crawl["done"])}

    def _results(self, found: str, query: Mapping[str, list[str]]) -> Answer:
        if query.get("prefetched") != ["true"]:
            return 400, {"detail": "The simulator gives results with their text only."}
        page, size = int(query["page"][0]), min(int(query["page_size"][0]), 2)
        done = self.crawls[found]["results"][: self.crawls[found]["done"]]
        end = page * size
        following = f"http://inner.test{PREFIX}{found}/results/?page={page + 1}" if len(done) > end else None
        return 200, {"count": len(done), "next": following, "previous": None, "results": done[end - size : end]}


class _Server(ThreadingHTTPServer):
    """Takes as many connections at once as a suite makes."""

    request_queue_size = 128


@contextmanager
def watercrawl_server(made: WaterCrawl) -> Iterator[WaterCrawl]:
    """Serve it on loopback until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = urlsplit(self.path)
            body = json.loads(raw) if raw and self.headers.get("Content-Type") == "application/json" else None
            made.asked.append((self.command, parts.path, body))
            key = self.headers.get("X-API-Key", "")
            if key != KEY:
                status, found = 401, {"detail": f"Invalid API key {key}"}
            else:
                status, found = made.answer(self.command, parts.path, parse_qs(parts.query), body)
            content = b"" if found is None else found if isinstance(found, bytes) else json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
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
