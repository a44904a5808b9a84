"""A simulator of WaterCrawl's documented API, version 1, on loopback: it crawls a site in memory, and refuses the rest.

https://docs.watercrawl.dev/api: crawl requests (POST, GET, DELETE), the list of them, and their results in parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatch
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from dify_kernel.testing.loopback import Answer, Asked, Loopback, json_answer, loopback

__all__ = ["HOME", "KEY", "Page", "WaterCrawl", "watercrawl_server"]

KEY = "wc-right-0123456789"
HOME = "https://a.test/"
PREFIX = "/api/v1/core/crawl-requests/"
_SPIDER = {"max_depth", "page_limit", "allowed_domains", "include_paths", "exclude_paths"}
_PAGE = {"wait_time", "timeout", "only_main_content", "include_html", "include_links"}
Found = tuple[int, Any]


class Page:
    """A page of the site: what is in it, and where it leads."""

    def __init__(self, text: str, *links: str, **metadata: str) -> None:
        self.text, self.links = text, links
        self.metadata = {"title": text, "description": f"About {text}", **metadata}


class WaterCrawl:
    """The site, and how the server behaves. The largest part of results has two pages."""

    def __init__(self, site: Mapping[str, Page]) -> None:
        self.server: Loopback
        self.site = site
        self.crawls: dict[str, dict[str, Any]] = {}
        self.ends_as = "finished"
        self.by_link = False

    @property
    def url(self) -> str:
        """Where it is served."""
        return self.server.url

    def answer(self, asked: Asked) -> Answer:
        """Whoever has the key."""
        key = asked.headers.get("x-api-key", "")
        if key != KEY:
            return json_answer(401, {"detail": f"Invalid API key {key}"})
        return json_answer(*self._found(asked.method, asked.path, dict(asked.query), asked.json()))

    def _found(self, method: str, path: str, query: Mapping[str, str], body: Any) -> Found:
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

    def _start(self, body: Any) -> Found:
        options = body.get("options", {})
        spider, page = options.get("spider_options", {}), options.get("page_options", {})
        if body.keys() != {"url", "options"} or spider.keys() != _SPIDER or page.keys() != _PAGE:
            return 400, {"message": "Validation error", "errors": {"options": ["This field is required."]}}
        found = str(uuid4())
        results = [self._result(url, page) for url in self._reached(body["url"], spider) if url in self.site]
        self.crawls[found] = {"status": "new", "results": results, "done": 0, "body": body}
        return 201, {"uuid": found, "url": body["url"], "status": "new", "options": options, "number_of_documents": "0"}

    def _reached(self, first: str, spider: Mapping[str, Any]) -> list[str]:
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

    def _results(self, found: str, query: Mapping[str, str]) -> Found:
        if query.get("prefetched") != "true":
            return 400, {"detail": "The simulator gives results with their text only."}
        page, size = int(query["page"]), min(int(query["page_size"]), 2)
        done = self.crawls[found]["results"][: self.crawls[found]["done"]]
        end = page * size
        following = f"http://inner.test{PREFIX}{found}/results/?page={page + 1}" if len(done) > end else None
        return 200, {"count": len(done), "next": following, "previous": None, "results": done[end - size : end]}


@contextmanager
def watercrawl_server(made: WaterCrawl) -> Iterator[WaterCrawl]:
    """Serve it on loopback until the block ends."""
    with loopback(made.answer) as made.server:
        yield made
