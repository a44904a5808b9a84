"""A simulator of Jina's Reader and of its crawl on loopback: it reads a site in memory, and refuses the rest.

https://github.com/jina-ai/reader: `POST /` of the Reader; `adaptiveCrawl` and `adaptiveCrawlStatus` are `/crawl` and
`/status` here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from dify_kernel.testing.loopback import Answer, Asked, Loopback, json_answer, loopback

__all__ = ["HOME", "KEY", "Jina", "Page", "jina_server"]

KEY = "jina_right_0123456789"
HOME = "https://a.test/"
Found = tuple[int, Any]


class Page:
    """A page of the site: what is in it, where it leads, and the status it is answered with; 0 cannot be reached."""

    def __init__(self, text: str, *links: str, status: int = 200) -> None:
        self.text, self.links, self.status = text, links, status


class Jina:
    """The site, and how the server behaves."""

    def __init__(self, site: Mapping[str, Page], sitemap: tuple[str, ...] = ()) -> None:
        self.server: Loopback
        self.site, self.sitemap = site, sitemap
        self.tasks: dict[str, dict[str, Any]] = {}
        self.fails = False
        self.pace = 3

    @property
    def url(self) -> str:
        """Where it is served."""
        return self.server.url

    def answer(self, asked: Asked) -> Answer:
        """Whoever has the key, and takes JSON."""
        key = asked.headers.get("authorization", "")
        if key != f"Bearer {KEY}" or asked.headers.get("accept") != "application/json":
            return json_answer(*_error(401, "AuthenticationFailedError", f"Invalid API key {key}"))
        if asked.method != "POST":
            return json_answer(*_error(404, "ParamValidationError", "Bad parameters"))
        return json_answer(*self._found(asked.path, asked.headers, asked.json()))

    def _found(self, path: str, headers: Mapping[str, str], body: Any) -> Found:
        if path == "/" and body.keys() == {"url"}:
            return self._read(body["url"], headers)
        if path == "/crawl" and body.keys() == {"url", "maxPages", "useSitemap"} and 1 <= body["maxPages"] <= 100:
            return self._start(body)
        if path == "/status" and body.get("taskId") in self.tasks:
            return self._status(self.tasks[body["taskId"]], body.get("urls") or [])
        return _error(400 if path in ("/", "/crawl", "/status") else 404, "ParamValidationError", "Bad parameters")

    def _read(self, url: str, headers: Mapping[str, str]) -> Found:
        page = self.site.get(url, Page("Not found", status=404))
        if page.status == 0:
            return _error(422, "SubmittedDataMalformedError", "Domain 'a.test' could not be resolved")
        menu = "Menu\n\n" if headers.get("x-respond-with") == "markdown" else ""
        data = {"title": page.text, "description": f"About {page.text}", "url": url, "content": menu + page.text}
        if page.status != 200:
            data["warning"] = f"Target URL returned error {page.status}: Not so"
        return 200, {"code": 200, "status": 20000, "data": {**data, "usage": {"tokens": 7}}}

    def _start(self, body: Mapping[str, Any]) -> Found:
        task_id = hashlib.md5(json.dumps(body).encode()).hexdigest()
        waiting, urls = [*(self.sitemap if body["useSitemap"] else ()), body["url"]], list[str]()
        while waiting and len(urls) < body["maxPages"]:
            url = waiting.pop(0)
            if url not in urls:
                urls.append(url)
                waiting += self.site.get(url, Page("")).links
        self.tasks.setdefault(task_id, {"urls": urls, "done": 0})
        return 200, {"code": 200, "status": 20000, "data": {"taskId": task_id}}

    def _status(self, task: dict[str, Any], wanted: list[str]) -> Found:
        """`pace` pages more each time that it is asked for; the texts of `wanted`, of others where they are kept."""
        done = task["urls"][: task["done"]]
        status = "completed" if len(done) == len(task["urls"]) else "processing" if done else "pending"
        reads = {url: self._read(url, {}) for url in done}
        failed = {url: {"reason": f"Failed to crawl {url}, Gone"} for url, (code, _) in reads.items() if code != 200}
        kept = {url: f"adaptive-crawl-task/{url}" for url in done if url not in failed}
        processed = {url: reads[url][1] if url in wanted else path for url, path in kept.items()}
        if not wanted:
            task["done"] = min(task["done"] + self.pace, len(task["urls"]))
        if self.fails and done:
            return 200, {"code": 200, "data": {"status": "failed", "statusText": "Out of tokens", "urls": []}}
        data = {"status": status, "urls": task["urls"], "processed": processed, "failed": failed, "duration": 7}
        return 200, {"code": 200, "status": 20000, "data": data}


def _error(code: int, name: str, message: str) -> Found:
    readable = f"{name}: {message}"
    return code, {"data": None, "code": code, "name": name, "message": message, "readableMessage": readable}


@contextmanager
def jina_server(made: Jina) -> Iterator[Jina]:
    """Serve it on loopback until the block ends."""
    with loopback(made.answer) as made.server:
        yield made
