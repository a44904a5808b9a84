"""A simulator of Notion's API, strict as its reference: version, key, ids, bodies and cursors have to be right.

Written from https://developers.notion.com/reference (version 2022-06-28). Lists come in pages of two items at most.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

__all__ = ["Notion", "block", "notion_server", "page", "rich", "uid"]

KEY = "secret_right"
_PAGE = 2


def uid(number: int) -> str:
    """The id of the test's object of that number."""
    return str(UUID(int=number))


def rich(text: str, href: str | None = None) -> list[dict[str, Any]]:
    """Rich text of one part."""
    link = {"url": href} if href else None
    return [{"type": "text", "text": {"content": text, "link": link}, "plain_text": text, "href": href}]


def block(number: int, kind: str, text: str | None = None, **value: Any) -> dict[str, Any]:
    """A block; its children are those that the server keeps under its id."""
    said = value if text is None else {"rich_text": rich(text), **value}
    return {"object": "block", "id": uid(number), "type": kind, "has_children": False, kind: said}


def page(
    number: int, name: str, edited: str, parent: Mapping[str, Any] | None = None, **properties: Any
) -> dict[str, Any]:
    """A page, or a row of a database."""
    title = {"id": "title", "type": "title", "title": rich(name)}
    return {
        "object": "page",
        "id": uid(number),
        "last_edited_time": edited,
        "archived": False,
        "in_trash": False,
        "icon": {"type": "emoji", "emoji": "🐝"},
        "parent": dict(parent or {"type": "workspace", "workspace": True}),
        "properties": {"Name": title, **properties},
    }


class Notion:
    """What the workspace holds, and how the server behaves."""

    def __init__(self) -> None:
        self.url = ""
        self.shared: list[dict[str, Any]] = []
        self.children: dict[str, list[dict[str, Any]]] = {}
        self.rows: dict[str, list[dict[str, Any]]] = {}
        self.busy = 0
        self.retry_after = "0"
        self.down = False
        self.asked: list[str] = []

    def put(self, parent: int, *blocks: dict[str, Any]) -> None:
        """Blocks below a page or block."""
        self.children[uid(parent)] = list(blocks)

    def answer(self, method: str, path: str, query: Mapping[str, list[str]], body: Any) -> tuple[int, Any]:
        """Status and body."""
        if self.down:
            return 503, _error(503, "service_unavailable", "Notion is unavailable.")
        if self.busy:
            self.busy -= 1
            return 429, _error(429, "rate_limited", "Slow down.")
        match method, path.strip("/").split("/"):
            case "GET", ["v1", "users", "me"]:
                return 200, {"object": "user", "type": "bot", "bot": {"workspace_name": "Bees & co"}}
            case "POST", ["v1", "search"]:
                return self._list(self.shared, body, {"query", "filter", "sort"})
            case "POST", ["v1", "databases", found, "query"]:
                return self._of(found, self.rows, body, {"filter", "sorts"})
            case "GET", ["v1", "blocks", found, "children"]:
                return self._of(found, self.children, {name: values[0] for name, values in query.items()}, set())
            case "GET", ["v1", ("pages" | "databases") as kind, found]:
                for item in self.shared:
                    if item["id"] == found and item["object"] == kind.removesuffix("s"):
                        return 200, item
                return _missing(found)
        return 400, _error(400, "invalid_request_url", "Invalid request URL.")

    def _of(self, found: str, kept: Mapping[str, Any], wish: Any, more: set[str]) -> tuple[int, Any]:
        return self._list(kept[found], wish, more) if found in kept else _missing(found)

    def _list(self, items: Sequence[Any], wish: Any, more: set[str]) -> tuple[int, Any]:
        if not isinstance(wish, dict) or wish.keys() - {"page_size", "start_cursor"} - more:
            return 400, _error(400, "validation_error", "body failed validation")
        size = int(wish.get("page_size", 100))
        cursor = wish.get("start_cursor")
        begin = int(UUID(cursor)) - 10_000 if cursor else 0
        if not 1 <= size <= 100 or not 0 <= begin <= len(items):
            return 400, _error(400, "validation_error", "page_size or start_cursor is wrong")
        end = begin + min(size, _PAGE)
        has_more = end < len(items)
        following = uid(10_000 + end) if has_more else None
        return 200, {"object": "list", "results": items[begin:end], "next_cursor": following, "has_more": has_more}


def _error(status: int, code: str, message: str) -> dict[str, Any]:
    return {"object": "error", "status": status, "code": code, "message": message}


def _missing(found: str) -> tuple[int, Any]:
    return 404, _error(404, "object_not_found", f"Could not find an object with ID: {found}.")


@contextmanager
def notion_server(notion: Notion) -> Iterator[Notion]:
    """Serve it on loopback until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = urlsplit(self.path)
            notion.asked.append(f"{self.command} {parts.path}")
            body: Any = None
            if self.command == "POST":
                body = json.loads(raw) if self.headers.get("Content-Type") == "application/json" else None
            if self.headers.get("Authorization") != f"Bearer {KEY}":
                status, found = 401, _error(401, "unauthorized", "API token is invalid.")
            elif self.headers.get("Notion-Version") != "2022-06-28":
                status, found = 400, _error(400, "missing_version", "Notion-Version header failed validation")
            else:
                status, found = notion.answer(self.command, parts.path, parse_qs(parts.query), body)
            content = json.dumps(found).encode()
            self.send_response(status)
            if status == 429:
                self.send_header("Retry-After", notion.retry_after)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _answer

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    notion.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield notion
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
