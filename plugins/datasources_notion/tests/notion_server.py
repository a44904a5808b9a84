"""A simulator of Notion's API, strict as its reference: version, key, ids, bodies and cursors have to be right.

Written from https://developers.notion.com/reference (version 2022-06-28). Lists come in pages of two items at most.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from dify_kernel.testing.loopback import Answer, Asked, Loopback, json_answer, loopback

__all__ = ["KEY", "Notion", "block", "error", "notion_server", "page", "rich", "uid"]

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
        self.server: Loopback
        self.shared: list[dict[str, Any]] = []
        self.children: dict[str, list[dict[str, Any]]] = {}
        self.rows: dict[str, list[dict[str, Any]]] = {}

    def put(self, parent: int, *blocks: dict[str, Any]) -> None:
        """Blocks below a page or block."""
        self.children[uid(parent)] = list(blocks)

    def answer(self, asked: Asked) -> Answer:
        """Whoever has the key, and names the version."""
        if asked.headers.get("authorization") != f"Bearer {KEY}":
            return error(401, "unauthorized", "API token is invalid.")
        if asked.headers.get("notion-version") != "2022-06-28":
            return error(400, "missing_version", "Notion-Version header failed validation")
        return self._found(asked.method, asked.path, dict(asked.query), asked.json())

    def _found(self, method: str, path: str, query: Mapping[str, str], body: Any) -> Answer:
        match method, path.strip("/").split("/"):
            case "GET", ["v1", "users", "me"]:
                return json_answer(200, {"object": "user", "type": "bot", "bot": {"workspace_name": "Bees & co"}})
            case "POST", ["v1", "search"]:
                return self._list(self.shared, body, {"query", "filter", "sort"})
            case "POST", ["v1", "databases", found, "query"]:
                return self._of(found, self.rows, body, {"filter", "sorts"})
            case "GET", ["v1", "blocks", found, "children"]:
                return self._of(found, self.children, query, set())
            case "GET", ["v1", ("pages" | "databases") as kind, found]:
                for item in self.shared:
                    if item["id"] == found and item["object"] == kind.removesuffix("s"):
                        return json_answer(200, item)
                return _missing(found)
        return error(400, "invalid_request_url", "Invalid request URL.")

    def _of(self, found: str, kept: Mapping[str, Any], wish: Any, more: set[str]) -> Answer:
        return self._list(kept[found], wish, more) if found in kept else _missing(found)

    def _list(self, items: Sequence[Any], wish: Any, more: set[str]) -> Answer:
        if not isinstance(wish, dict) or wish.keys() - {"page_size", "start_cursor"} - more:
            return error(400, "validation_error", "body failed validation")
        size = int(wish.get("page_size", 100))
        cursor = wish.get("start_cursor")
        begin = int(UUID(cursor)) - 10_000 if cursor else 0
        if not 1 <= size <= 100 or not 0 <= begin <= len(items):
            return error(400, "validation_error", "page_size or start_cursor is wrong")
        end = begin + min(size, _PAGE)
        has_more = end < len(items)
        following = uid(10_000 + end) if has_more else None
        listed = {"object": "list", "results": items[begin:end], "next_cursor": following, "has_more": has_more}
        return json_answer(200, listed)


def error(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Answer:
    """A refusal."""
    body = {"object": "error", "status": status, "code": code, "message": message}
    return json_answer(status, body, headers)


def _missing(found: str) -> Answer:
    return error(404, "object_not_found", f"Could not find an object with ID: {found}.")


@contextmanager
def notion_server(made: Notion) -> Iterator[Notion]:
    """Serve it on loopback until the block ends."""
    with loopback(made.answer) as made.server:
        yield made
